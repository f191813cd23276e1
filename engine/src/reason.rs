//! Why a request was allowed or refused: one table for decisions, the wire, audit and docs.

macro_rules! reasons {
    ($($variant:ident, $word:literal, $code:literal, $title:literal;)*) => {
        /// The stable reason of a decision, in the order in which the checks run.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $title] $variant,)*
        }

        impl Reason {
            /// Every reason, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable word, as on the wire, in audit events, metrics and golden tests.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The code that `latchkey explain` answers.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// One sentence that says what happened.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

reasons! {
    Ok, "ok", "LK9000", "allowed";
    MalformedRequest, "malformed_request", "LK9001", "the request can be read in more than one way, or not at all";
    PayloadTooLarge, "payload_too_large", "LK9002", "the request is larger than the server allows";
    PolicyUnavailable, "policy_unavailable", "LK9003", "no verified bundle in force";
    TokenExpired, "token_expired", "LK9004", "the token is past its expiry";
    TokenReplayed, "token_replayed", "LK9005", "a single-use token was used before";
    TokenRevoked, "token_revoked", "LK9006", "the token was revoked";
    SurfaceUnmatched, "surface_unmatched", "LK9007", "nothing in the registry matches the request";
    OperationUnknown, "operation_unknown", "LK9008", "the operation's argument is absent or undeclared";
    Unauthenticated, "unauthenticated", "LK9009", "no valid identity";
    ChainTooLong, "chain_too_long", "LK9010", "more than 4 callers act for one another";
    PrincipalUnknown, "principal_unknown", "LK9011", "the issuer may speak for declared principals only, and this is none";
    PrincipalSuspended, "principal_suspended", "LK9012", "the principal is suspended or outside its dates";
    ScopeInvalid, "scope_invalid", "LK9013", "the call's scope is absent, unmapped, or outside the server's";
    SchemaViolation, "schema_violation", "LK9014", "the arguments fail the reviewed schema or an argument fact";
    CrossOrganization, "cross_organization", "LK9015", "the scope is in another organization than the caller's";
    NoPermission, "no_permission", "LK9016", "no binding in force grants the permission at a scope that covers the call's";
    DeniedByOverlay, "denied_by_overlay", "LK9017", "the surface is urgently denied";
    DeniedByPolicy, "denied_by_policy", "LK9018", "a deny rule matches";
    TokenScope, "token_scope", "LK9019", "the token is restricted to other permissions";
    BreakGlassRequired, "break_glass_required", "LK9020", "destructive, and no activation covers it";
    ToolChanged, "tool_changed", "LK9021", "the tool's definition differs from the reviewed one, or cannot be checked";
    RateLimited, "rate_limited", "LK9022", "a rate limit is used up";
    BudgetExceeded, "budget_exceeded", "LK9023", "a budget is used up";
    ApprovalRequired, "approval_required", "LK9024", "somebody has to approve this call first";
    ApprovalDenied, "approval_denied", "LK9025", "the approval was refused";
    ResidencyBlocked, "residency_blocked", "LK9026", "the data may not leave its region";
    UpstreamTimeout, "upstream_timeout", "LK9027", "the tool server did not answer in time";
    UpstreamUnavailable, "upstream_unavailable", "LK9028", "the tool server cannot be reached";
    AuditUnavailable, "audit_unavailable", "LK9029", "the audit event cannot be recorded";
    Internal, "internal", "LK9030", "an internal error";
    SessionUnknown, "session_unknown", "LK9031", "no such session of this caller; open a new one";
    StateInvalid, "state_invalid", "LK9032", "the request's state was not given to this caller for this call, or is too old";
    ServerRequestDenied, "server_request_denied", "LK9033", "the tool server asks its client for what the policy does not allow it";
    IssuerUnavailable, "issuer_unavailable", "LK9034", "the keys of the token's issuer cannot be fetched, or are too old";
    Overloaded, "overloaded", "LK9035", "too many requests are under way";
    UpgradeDenied, "upgrade_denied", "LK9036", "the surface may not become a WebSocket";
    ResponseTooLarge, "response_too_large", "LK9037", "the tool server's answer is larger than the policy allows";
    StreamEnded, "stream_ended", "LK9038", "the stream has lasted as long as the policy allows";
}

impl Reason {
    /// The reason with this stable word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == word)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
