//! Exit codes: the whole contract with scripts, the same for every command and format.

/// How a run of `latchkey` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: done, and clean. Warnings alone are clean, unless `--deny-warnings`.
    Clean,
    /// 1: done, and something was found: an error in the policy, or a warning that was asked to
    /// count.
    Findings,
    /// 2: not done: the command line, a file or a folder that it names is wrong.
    Usage,
    /// 3: the policy does not decide as a golden matrix says.
    Mismatch,
    /// 4: a bundle, a statement or a signature is not acceptable.
    Unverified,
    /// 70: a defect of latchkey itself.
    Internal,
}

impl Exit {
    /// Every code, in order.
    pub const ALL: [Self; 6] = [
        Self::Clean,
        Self::Findings,
        Self::Usage,
        Self::Mismatch,
        Self::Unverified,
        Self::Internal,
    ];

    /// The number that the process ends with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Mismatch => 3,
            Self::Unverified => 4,
            Self::Internal => 70,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_a_contract() {
        assert_eq!(Exit::ALL.map(Exit::code), [0, 1, 2, 3, 4, 70]);
    }
}
