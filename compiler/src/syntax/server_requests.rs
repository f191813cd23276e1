//! `serverRequests` of a server: what it may ask its clients for.

use latchkey_gate::settings;

use crate::diag::{Diagnostic, codes};
use crate::source::Spanned;
use crate::syntax::collection::List;
use crate::syntax::shape::{Map, Reader, record};
use crate::text::Text;

record! {
    /// What a server may ask its clients for; nothing if absent.
    pub struct ServerRequests: "server requests" {
        /// Whether it may ask for an answer of the client's model (`sampling/createMessage`).
        sampling "sampling": Option<Spanned<bool>>;
        /// Whether it may ask for the client's folders (`roots/list`).
        roots "roots": Option<Spanned<bool>>;
        /// How it may ask the user (`elicitation/create`).
        elicitation "elicitation": Option<Elicitation>;
    }
}

record! {
    /// How a server may ask the user of a client.
    pub struct Elicitation: "elicitation" {
        /// Whether by a form that the client shows.
        form "form": Option<Spanned<bool>>;
        /// The hosts of `https` pages that it may send the user to: `example.com`, or
        /// `*.example.com` for every name below.
        url "url": Option<List<Spanned<Text>>>;
    }
    check check_elicitation;
}

impl ServerRequests {
    /// The same, as a bundle carries it.
    #[must_use]
    pub fn settings(&self) -> settings::ServerRequests {
        let holds = |it: Option<Spanned<bool>>| it.is_some_and(|it| it.value);
        let elicitation = self.elicitation.as_ref();
        let hosts = elicitation.and_then(|it| it.url.as_ref());
        let mut url: Vec<String> = hosts.map_or_else(Vec::new, |hosts| {
            hosts.iter().map(|host| host.value.to_string()).collect()
        });
        url.sort_unstable();
        url.dedup();
        settings::ServerRequests {
            sampling: holds(self.sampling),
            roots: holds(self.roots),
            elicitation: settings::Elicitation {
                form: elicitation.is_some_and(|it| holds(it.form)),
                url,
            },
        }
    }
}

fn check_elicitation(elicitation: &Elicitation, _map: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let mut sound = true;
    for host in elicitation.url.iter().flat_map(|hosts| hosts.iter()) {
        if !settings::is_host(&host.value) {
            let message = format!("`{}` is not the name of a host", host.value);
            cx.sink.push(
                Diagnostic::new(&codes::BAD_VALUE, host.span, message)
                    .help("write it in lower case without scheme, port or path: `login.example.com` or `*.example.com`"),
            );
            sound = false;
        }
    }
    sound
}
