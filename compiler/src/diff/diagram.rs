//! Reduced ordered multi-valued decision diagrams: one variable for each attribute, one edge for
//! each region of its domain, interned outcomes as leaves.
//!
//! Every path is feasible by construction as long as the regions of a variable are, so that
//! difference and equivalence are plain look-ups (design review 2.1).

use std::rc::Rc;

use hashbrown::HashMap;

/// A node of a diagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(u32);

/// A variable: its position in the order.
pub(super) type Variable = u32;

/// The diagram grew past its cap: the answer is *cannot tell*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

/// The most nodes one diagram may have.
const MAX_NODES: usize = 400_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Node {
    Leaf(u32),
    Branch(Variable, Rc<[NodeId]>),
}

/// A shared store of nodes; equal functions have equal ids.
#[derive(Debug, Default)]
pub(super) struct Diagram {
    nodes: Vec<Node>,
    unique: HashMap<Node, NodeId>,
}

/// One way to a leaf: for each variable on it, the regions that lead on; then the leaf.
pub(super) type Path = (Vec<(Variable, Vec<usize>)>, u32);

impl Diagram {
    /// The constant.
    pub(super) fn leaf(&mut self, value: u32) -> Result<NodeId, TooLarge> {
        self.intern(Node::Leaf(value))
    }

    /// The function that chooses by the region of a variable.
    pub(super) fn branch(
        &mut self,
        variable: Variable,
        children: &[NodeId],
    ) -> Result<NodeId, TooLarge> {
        match children {
            [first, rest @ ..] if rest.iter().all(|child| child == first) => Ok(*first),
            _ => self.intern(Node::Branch(variable, children.into())),
        }
    }

    /// The leaf-wise combination of two functions.
    pub(super) fn combine(
        &mut self,
        left: NodeId,
        right: NodeId,
        leaf: &mut dyn FnMut(u32, u32) -> u32,
    ) -> Result<NodeId, TooLarge> {
        self.combine_memo(left, right, leaf, &mut HashMap::new())
    }

    /// Where the boolean function `condition` is 1, `yes`; elsewhere `no`.
    pub(super) fn choose(
        &mut self,
        condition: NodeId,
        yes: NodeId,
        no: NodeId,
    ) -> Result<NodeId, TooLarge> {
        self.choose_memo(condition, yes, no, &mut HashMap::new())
    }

    /// The function that is another one in each region of a variable: `of` says which, by its
    /// position among `functions`.
    pub(super) fn select(
        &mut self,
        variable: Variable,
        of: &[usize],
        functions: Vec<NodeId>,
    ) -> Result<NodeId, TooLarge> {
        self.select_memo((variable, of), functions, &mut HashMap::new())
    }

    /// All ways to leaves that are asked for, edges with the same target taken together.
    pub(super) fn paths(
        &self,
        root: NodeId,
        wanted: &dyn Fn(u32) -> bool,
        most: usize,
    ) -> Vec<Path> {
        let leads = self.leading_to(root, wanted);
        let mut paths = Vec::new();
        self.walk(root, &leads, most, &mut Vec::new(), &mut paths);
        paths
    }

    /// Of each node up to the root, whether some way leads to a leaf that is asked for. There may be
    /// ever so many ways that do not.
    fn leading_to(&self, root: NodeId, wanted: &dyn Fn(u32) -> bool) -> Vec<bool> {
        let nodes = self.nodes.iter().take(root.0 as usize + 1);
        let mut leads: Vec<bool> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let leads_on = |child: &NodeId| leads.get(child.0 as usize) == Some(&true);
            leads.push(match node {
                Node::Leaf(value) => wanted(*value),
                // Children are made before whoever has them.
                Node::Branch(_, children) => children.iter().any(leads_on),
            });
        }
        leads
    }

    fn intern(&mut self, node: Node) -> Result<NodeId, TooLarge> {
        if let Some(id) = self.unique.get(&node) {
            return Ok(*id);
        }
        if self.nodes.len() >= MAX_NODES {
            return Err(TooLarge);
        }
        let id = NodeId(u32::try_from(self.nodes.len()).map_err(|_| TooLarge)?);
        self.nodes.push(node.clone());
        self.unique.insert(node, id);
        Ok(id)
    }

    fn node(&self, id: NodeId) -> Node {
        self.nodes
            .get(id.0 as usize)
            .cloned()
            .unwrap_or(Node::Leaf(0))
    }

    fn combine_memo(
        &mut self,
        left: NodeId,
        right: NodeId,
        leaf: &mut dyn FnMut(u32, u32) -> u32,
        memo: &mut HashMap<(NodeId, NodeId), NodeId>,
    ) -> Result<NodeId, TooLarge> {
        if let Some(done) = memo.get(&(left, right)) {
            return Ok(*done);
        }
        let result = match (self.node(left), self.node(right)) {
            (Node::Leaf(a), Node::Leaf(b)) => self.leaf(leaf(a, b))?,
            (a, b) => {
                let variable = top(&[&a, &b]);
                let width = width(&[&a, &b], variable);
                let mut children = Vec::with_capacity(width);
                for region in 0..width {
                    let l = step(&a, left, variable, region);
                    let r = step(&b, right, variable, region);
                    children.push(self.combine_memo(l, r, leaf, memo)?);
                }
                self.branch(variable, &children)?
            }
        };
        memo.insert((left, right), result);
        Ok(result)
    }

    fn select_memo(
        &mut self,
        by: (Variable, &[usize]),
        functions: Vec<NodeId>,
        memo: &mut HashMap<Vec<NodeId>, NodeId>,
    ) -> Result<NodeId, TooLarge> {
        match functions.as_slice() {
            // No call has a value there.
            [] => return self.leaf(0),
            [first, rest @ ..] if rest.iter().all(|it| it == first) => return Ok(*first),
            _ => {}
        }
        if let Some(done) = memo.get(&functions) {
            return Ok(*done);
        }
        let (selector, of) = by;
        let nodes: Vec<Node> = functions.iter().map(|id| self.node(*id)).collect();
        let all: Vec<&Node> = nodes.iter().collect();
        let top = first(&all).filter(|it| *it < selector);
        let variable = top.unwrap_or(selector);
        let into = |at: usize, region: usize| {
            let (node, id) = (nodes.get(at)?, functions.get(at)?);
            Some(step(node, *id, variable, region))
        };
        let mut children = Vec::with_capacity(of.len());
        if top.is_some() {
            for region in 0..width(&all, variable) {
                let next = (0..functions.len()).filter_map(|at| into(at, region));
                children.push(self.select_memo(by, next.collect(), memo)?);
            }
        } else {
            let each = of.iter().enumerate();
            children.extend(each.filter_map(|(region, at)| into(*at, region)));
        }
        let result = self.branch(variable, &children)?;
        memo.insert(functions, result);
        Ok(result)
    }

    fn choose_memo(
        &mut self,
        condition: NodeId,
        yes: NodeId,
        no: NodeId,
        memo: &mut HashMap<(NodeId, NodeId, NodeId), NodeId>,
    ) -> Result<NodeId, TooLarge> {
        if yes == no {
            return Ok(yes);
        }
        if let Some(done) = memo.get(&(condition, yes, no)) {
            return Ok(*done);
        }
        let c = self.node(condition);
        let result = match &c {
            Node::Leaf(0) => no,
            Node::Leaf(_) => yes,
            Node::Branch(..) => {
                let (y, n) = (self.node(yes), self.node(no));
                let variable = top(&[&c, &y, &n]);
                let width = width(&[&c, &y, &n], variable);
                let mut children = Vec::with_capacity(width);
                for region in 0..width {
                    children.push(self.choose_memo(
                        step(&c, condition, variable, region),
                        step(&y, yes, variable, region),
                        step(&n, no, variable, region),
                        memo,
                    )?);
                }
                self.branch(variable, &children)?
            }
        };
        memo.insert((condition, yes, no), result);
        Ok(result)
    }

    fn walk(
        &self,
        at: NodeId,
        leads: &[bool],
        most: usize,
        way: &mut Vec<(Variable, Vec<usize>)>,
        paths: &mut Vec<Path>,
    ) {
        if paths.len() >= most || leads.get(at.0 as usize) != Some(&true) {
            return;
        }
        match self.nodes.get(at.0 as usize) {
            Some(Node::Leaf(value)) => paths.push((way.clone(), *value)),
            Some(Node::Branch(variable, children)) => {
                let mut seen: Vec<(NodeId, Vec<usize>)> = Vec::new();
                for (region, child) in children.iter().enumerate() {
                    match seen.iter_mut().find(|(known, _)| known == child) {
                        Some((_, regions)) => regions.push(region),
                        None => seen.push((*child, vec![region])),
                    }
                }
                for (child, regions) in seen {
                    way.push((*variable, regions));
                    self.walk(child, leads, most, way, paths);
                    way.pop();
                }
            }
            None => {}
        }
    }
}

/// The first variable that any of the nodes branches on; none where all are leaves.
fn first(nodes: &[&Node]) -> Option<Variable> {
    let variables = nodes.iter().filter_map(|node| match node {
        Node::Branch(variable, _) => Some(*variable),
        Node::Leaf(_) => None,
    });
    variables.min()
}

fn top(nodes: &[&Node]) -> Variable {
    first(nodes).unwrap_or(0)
}

fn width(nodes: &[&Node], variable: Variable) -> usize {
    nodes
        .iter()
        .filter_map(|node| match node {
            Node::Branch(own, children) if *own == variable => Some(children.len()),
            _ => None,
        })
        .max()
        .unwrap_or(0)
}

/// Where a node leads in one region of a variable: a node that does not branch on it stays.
fn step(node: &Node, id: NodeId, variable: Variable, region: usize) -> NodeId {
    match node {
        Node::Branch(own, children) if *own == variable => {
            children.get(region).copied().unwrap_or(id)
        }
        _ => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_what_choices_one_by_one_make() {
        let mut diagram = Diagram::default();
        let (no, yes) = (diagram.leaf(0).unwrap(), diagram.leaf(1).unwrap());
        let before = diagram.branch(0, &[no, yes]).unwrap();
        let own = diagram.branch(1, &[yes, no, yes]).unwrap();
        let after = diagram.branch(2, &[no, yes]).unwrap();
        let functions = [before, own, after];
        for of in [[0, 1, 2], [2, 1, 0], [1, 1, 0], [2, 2, 2]] {
            let selected = diagram.select(1, &of, functions.to_vec()).unwrap();
            let mut chosen = no;
            for (region, at) in of.iter().enumerate() {
                let here: Vec<_> = (0..3)
                    .map(|it| if it == region { yes } else { no })
                    .collect();
                let here = diagram.branch(1, &here).unwrap();
                chosen = diagram.choose(here, functions[*at], chosen).unwrap();
            }
            assert_eq!(selected, chosen, "{of:?}");
        }
    }

    #[test]
    fn equal_functions_have_equal_ids() {
        let mut diagram = Diagram::default();
        let (no, yes) = (diagram.leaf(0).unwrap(), diagram.leaf(1).unwrap());
        let a = diagram.branch(0, &[no, yes, yes]).unwrap();
        let b = diagram.branch(1, &[yes, no]).unwrap();
        let both = diagram.choose(a, b, no).unwrap();
        let other_way = diagram.choose(b, a, no).unwrap();
        assert_eq!(both, other_way);
        let differs = diagram
            .combine(both, a, &mut |l, r| u32::from(l != r))
            .unwrap();
        let paths = diagram.paths(differs, &|leaf| leaf == 1, 10);
        assert_eq!(paths, vec![(vec![(0, vec![1, 2]), (1, vec![1])], 1)]);
    }
}
