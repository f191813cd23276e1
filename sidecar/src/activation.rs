//! Listening sockets that a service manager has made (`LISTEN_FDS`, as systemd passes them). Each is
//! known by its address, which a setting must name.

use listenfd::ListenFd;

use crate::{
    config::Config,
    handover::{self, Sockets},
    listen::Address,
};

/// Takes what was passed to this process. An error says what to change.
pub fn take(config: &Config) -> Result<Sockets, String> {
    let mut passed = ListenFd::from_env();
    let known = handover::labels(config);
    let mut sockets = Sockets::new();
    for at in 0..passed.len() {
        let (address, descriptor) = if let Ok(Some(listener)) = passed.take_tcp_listener(at) {
            let address = listener.local_addr().map_err(|error| unfit(at, &error))?;
            (Address::Tcp(address), listener.into())
        } else {
            let listener = passed.take_unix_listener(at);
            let listener = listener.map_err(|error| unfit(at, &error))?;
            let Some(listener) = listener else { continue };
            let address = listener.local_addr().map_err(|error| unfit(at, &error))?;
            let path = address
                .as_pathname()
                .ok_or_else(|| unfit(at, &"it has no path"))?;
            (Address::Unix(path.to_owned()), listener.into())
        };
        let named = known.iter().find(|(its, _)| *its == address);
        let (_, label) = named.ok_or_else(|| {
            format!(
                "the service manager passes a socket at {address}, which no setting names: write \
                 the same address under [listen], [admin] or [decision], or remove it from the \
                 socket unit"
            )
        })?;
        sockets.push((label.clone(), descriptor));
    }
    Ok(sockets)
}

fn unfit(at: usize, error: &dyn std::fmt::Display) -> String {
    format!(
        "the service manager passes a socket, number {at}, that cannot be used: {error}: pass \
         listening TCP and Unix stream sockets only"
    )
}
