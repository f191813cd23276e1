//! The built-in table of MCP methods: what each needs, whatever the policy says.
//!
//! Only what a caller may send to a server is ever allowed.

use crate::filter::FilterKind;

/// What a method needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A caller who sees at least one surface of the server; its answer is passed as it comes.
    Visible,
    /// The same, and its answer is filtered.
    Filtered(FilterKind),
    /// The tool's permission.
    Tool,
    /// The prompt's permission.
    Prompt,
    /// The permission of the resource pattern that the URI matches.
    Resource,
    /// The permission, under every argument, of the prompt or resource pattern that it completes.
    Completion,
    /// For each kind of notification, what the caller sees of it.
    Listen,
    /// What the call needs that made the task.
    Task,
    /// A bound session, which the notification is about.
    Own(Note),
    /// Never allowed: it needs state or a direction that does not exist here.
    Never,
}

/// What a client tells of its own side of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// It waits no more for the answer to a request of its own.
    Cancelled,
    /// How far it is with a request of the server.
    Progress,
    /// Its folders have changed.
    RootsChanged,
}

/// Which protocol eras know a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eras {
    /// 2024-11-05 to 2025-11-25: with a handshake, perhaps a session.
    Legacy,
    /// From 2026-07-28: stateless.
    Modern,
    /// Both.
    Both,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// The JSON-RPC method.
    pub name: &'static str,
    /// What it needs.
    pub need: Need,
    /// Where it exists.
    pub eras: Eras,
    /// Whether it is a notification, which has no id and gets no answer.
    pub notification: bool,
}

impl Method {
    /// The row of a method in an era.
    #[must_use]
    pub fn find(name: &str, modern: bool) -> Option<&'static Self> {
        METHODS.iter().find(|method| {
            method.name == name
                && match method.eras {
                    Eras::Both => true,
                    Eras::Legacy => !modern,
                    Eras::Modern => modern,
                }
        })
    }
}

const fn request(name: &'static str, eras: Eras, need: Need) -> Method {
    Method {
        name,
        need,
        eras,
        notification: false,
    }
}

const fn notification(name: &'static str, eras: Eras, need: Need) -> Method {
    Method {
        name,
        need,
        eras,
        notification: true,
    }
}

/// Every method of every revision; what is not here matches nothing.
pub const METHODS: &[Method] = &[
    request(
        "initialize",
        Eras::Legacy,
        Need::Filtered(FilterKind::Handshake),
    ),
    notification("notifications/initialized", Eras::Legacy, Need::Visible),
    request("ping", Eras::Legacy, Need::Visible),
    request(
        "server/discover",
        Eras::Modern,
        Need::Filtered(FilterKind::Handshake),
    ),
    request("tools/list", Eras::Both, Need::Filtered(FilterKind::Tools)),
    request("tools/call", Eras::Both, Need::Tool),
    request(
        "prompts/list",
        Eras::Both,
        Need::Filtered(FilterKind::Prompts),
    ),
    request("prompts/get", Eras::Both, Need::Prompt),
    request(
        "resources/list",
        Eras::Both,
        Need::Filtered(FilterKind::Resources),
    ),
    request(
        "resources/templates/list",
        Eras::Both,
        Need::Filtered(FilterKind::ResourceTemplates),
    ),
    request("resources/read", Eras::Both, Need::Resource),
    request("resources/subscribe", Eras::Legacy, Need::Resource),
    request("resources/unsubscribe", Eras::Legacy, Need::Resource),
    request("completion/complete", Eras::Both, Need::Completion),
    request("logging/setLevel", Eras::Legacy, Need::Visible),
    request("subscriptions/listen", Eras::Modern, Need::Listen),
    request("tasks/get", Eras::Both, Need::Task),
    request("tasks/update", Eras::Modern, Need::Task),
    request("tasks/cancel", Eras::Both, Need::Task),
    request(
        "tasks/list",
        Eras::Legacy,
        Need::Filtered(FilterKind::Tasks),
    ),
    request("tasks/result", Eras::Legacy, Need::Task),
    notification(
        "notifications/cancelled",
        Eras::Both,
        Need::Own(Note::Cancelled),
    ),
    notification(
        "notifications/progress",
        Eras::Both,
        Need::Own(Note::Progress),
    ),
    notification(
        "notifications/roots/list_changed",
        Eras::Legacy,
        Need::Own(Note::RootsChanged),
    ),
    // From the server only: a client that sends one is refused.
    request("sampling/createMessage", Eras::Both, Need::Never),
    request("elicitation/create", Eras::Both, Need::Never),
    request("roots/list", Eras::Both, Need::Never),
    notification(
        "notifications/elicitation/complete",
        Eras::Both,
        Need::Never,
    ),
    notification("notifications/message", Eras::Both, Need::Never),
    notification("notifications/tools/list_changed", Eras::Both, Need::Never),
    notification(
        "notifications/prompts/list_changed",
        Eras::Both,
        Need::Never,
    ),
    notification(
        "notifications/resources/list_changed",
        Eras::Both,
        Need::Never,
    ),
    notification("notifications/resources/updated", Eras::Both, Need::Never),
    notification(
        "notifications/subscriptions/acknowledged",
        Eras::Modern,
        Need::Never,
    ),
    notification("notifications/tasks/status", Eras::Both, Need::Never),
    notification("notifications/tasks", Eras::Modern, Need::Never),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Every request and notification that each revision of the protocol defines, both directions.
    const REVISIONS: &[(&str, &[&str])] = &[
        ("2024-11-05", OLDEST),
        ("2025-03-26", OLDEST),
        ("2025-06-18", &["elicitation/create"]),
        (
            "2025-11-25",
            &[
                "elicitation/create",
                "notifications/elicitation/complete",
                "tasks/get",
                "tasks/result",
                "tasks/list",
                "tasks/cancel",
                "notifications/tasks/status",
            ],
        ),
        (
            "2026-07-28",
            &[
                "server/discover",
                "tools/list",
                "tools/call",
                "prompts/list",
                "prompts/get",
                "resources/list",
                "resources/templates/list",
                "resources/read",
                "completion/complete",
                "subscriptions/listen",
                "sampling/createMessage",
                "elicitation/create",
                "roots/list",
                "tasks/get",
                "tasks/update",
                "tasks/cancel",
                "notifications/cancelled",
                "notifications/progress",
                "notifications/message",
                "notifications/tools/list_changed",
                "notifications/prompts/list_changed",
                "notifications/resources/list_changed",
                "notifications/resources/updated",
                "notifications/subscriptions/acknowledged",
                "notifications/tasks",
            ],
        ),
    ];

    const OLDEST: &[&str] = &[
        "initialize",
        "notifications/initialized",
        "ping",
        "tools/list",
        "tools/call",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "completion/complete",
        "logging/setLevel",
        "sampling/createMessage",
        "roots/list",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/message",
        "notifications/roots/list_changed",
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
        "notifications/resources/updated",
    ];

    #[test]
    fn every_method_of_every_revision_has_a_row() {
        for (revision, methods) in REVISIONS {
            let modern = *revision == "2026-07-28";
            let inherited: &[&str] = if modern { &[] } else { OLDEST };
            for method in methods.iter().chain(inherited) {
                let row = Method::find(method, modern);
                let row =
                    row.unwrap_or_else(|| panic!("{revision} has {method}, the table has not"));
                assert_eq!(row.notification, method.starts_with("notifications/"));
            }
        }
    }

    #[test]
    fn no_row_is_invented_or_doubled() {
        for (at, row) in METHODS.iter().enumerate() {
            let known = REVISIONS
                .iter()
                .any(|(_, methods)| methods.contains(&row.name));
            assert!(known || OLDEST.contains(&row.name), "{}", row.name);
            assert!(METHODS[..at].iter().all(|other| other.name != row.name));
        }
    }
}
