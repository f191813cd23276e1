//! A new process takes the listening sockets over from the one that runs.
//!
//! The new one connects to a socket in the state folder and gets the listening sockets. From then on
//! the old one accepts nothing more; it lets what is in flight end, closes its audit log and ends, which
//! closes the connection. Then the new one starts. Callers that come in between wait in the queue of
//! the listening sockets, which stay open all the time: nobody is refused, and two processes never
//! write one audit log.

use std::{
    io::{self, IoSlice, IoSliceMut, Read},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::net::UnixListener;

use crate::{
    config::Config,
    listen::{Address, Bound},
    run::Shared,
};

/// Listening sockets, each with the address that the settings name it by.
pub type Sockets = Vec<(String, OwnedFd)>;

/// The addresses of the settings, each with the label of its socket.
#[must_use]
pub fn labels(config: &Config) -> Vec<(Address, String)> {
    let listen = config.listen.addresses.iter();
    let listen = listen.map(|address| (address.clone(), address.to_string()));
    let admin = Address::Tcp(config.admin.address);
    let admin = (admin, admin_label(config));
    let point = config.decision.iter().flat_map(|it| {
        let lines = it.lines.clone().map(Address::Unix);
        it.address.clone().into_iter().chain(lines)
    });
    let point = point.map(|address| {
        let label = point_label(&address);
        (address, label)
    });
    listen.chain([admin]).chain(point).collect()
}

/// The label of the socket for operators.
pub(crate) fn admin_label(config: &Config) -> String {
    format!("admin {}", config.admin.address)
}

/// The label of a socket for enforcement points.
pub(crate) fn point_label(address: &Address) -> String {
    format!("decision {address}")
}

/// Sockets that are there already: of the process before, or of the service manager.
#[derive(Debug, Default)]
pub struct Inherited(Sockets);

impl Inherited {
    /// What was handed over.
    #[must_use]
    pub fn new(sockets: Sockets) -> Self {
        Self(sockets)
    }

    /// The one with this label, once.
    pub fn take(&mut self, label: &str) -> Option<OwnedFd> {
        let at = self.0.iter().position(|(its, _)| its == label)?;
        Some(self.0.swap_remove(at).1)
    }

    /// The one with this label, or a new one at this address.
    pub fn bind(&mut self, label: &str, address: &Address, mode: u32) -> io::Result<Bound> {
        match self.take(label) {
            Some(descriptor) => Bound::inherited(address, descriptor),
            None => Bound::new(address, mode),
        }
    }
}

/// The most sockets of one sidecar.
const MOST: usize = 16;

/// Where a process that runs hands over.
#[must_use]
pub fn path(config: &Config) -> PathBuf {
    config.state.directory.join("handover.sock")
}

/// Takes the listening sockets of the process that runs, and waits until it has ended. Nothing when
/// none runs.
pub fn take(config: &Config) -> io::Result<Sockets> {
    let path = path(config);
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(Vec::new()),
                _ => Err(error),
            };
        }
    };
    // The other drains for as long as its own settings say; these are the best guess of that.
    let limit = config.listen.drain_timeout.0 + Duration::from_secs(10);
    stream.set_read_timeout(Some(limit))?;
    let sockets = receive(&stream)?;
    tracing::info!(
        count = sockets.len(),
        "took the sockets over; waiting for the other to end"
    );
    loop {
        match stream.read(&mut [0; 1]) {
            Ok(0) => return Ok(sockets),
            Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
            // A signal, such as the one to stop: it counts once this process runs.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Offers the listening sockets until a process of the same user takes them. Then the sidecar drains.
pub async fn offer(shared: &Shared, sockets: Sockets) -> io::Result<()> {
    let path = path(&shared.config);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // Whoever holds the lock of the state folder is the only one that offers here.
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    loop {
        let (stream, _) = listener.accept().await?;
        let ours = rustix::process::geteuid().as_raw();
        if stream.peer_cred()?.uid() != ours {
            tracing::warn!(target: "handover", "another user asked for the listening sockets");
            continue;
        }
        let stream = stream.into_std()?;
        if let Err(error) = send(&stream, &sockets) {
            tracing::warn!(target: "handover", %error, "the sockets were not handed over");
            continue;
        }
        tracing::info!(target: "handover", "the sockets are handed over");
        // A third process must not find a way in that leads nowhere.
        remove(&path);
        shared.hand_over(stream);
        return Ok(());
    }
}

fn remove(path: &Path) {
    // What is left is found to lead nowhere by whoever tries it.
    let _ = std::fs::remove_file(path);
}

fn send(stream: &UnixStream, sockets: &Sockets) -> io::Result<()> {
    let labels: Vec<&str> = sockets.iter().map(|(label, _)| label.as_str()).collect();
    let text = serde_json::to_vec(&labels)?;
    let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(|(_, fd)| fd.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("there are too many listening sockets"));
    }
    stream.set_nonblocking(false)?;
    let sent = sendmsg(
        stream,
        &[IoSlice::new(&text)],
        &mut control,
        SendFlags::empty(),
    )?;
    if sent == text.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

fn receive(stream: &UnixStream) -> io::Result<Sockets> {
    let mut text = vec![0; 64 * 1024];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut text)];
    let count = recvmsg(stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let descriptors = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
        _ => Vec::new(),
    });
    let descriptors: Vec<OwnedFd> = descriptors.collect();
    let labels: Vec<String> = serde_json::from_slice(text.get(..count).unwrap_or_default())?;
    if labels.len() != descriptors.len() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(labels.into_iter().zip(descriptors).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_go_through_with_their_addresses() {
        let (one, other) = UnixStream::pair().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        send(&one, &vec![("here".to_owned(), listener.into())]).unwrap();
        let mut sockets = receive(&other).unwrap();
        let (label, descriptor) = sockets.pop().unwrap();
        assert_eq!(label, "here");
        let listener = std::net::TcpListener::from(descriptor);
        assert_eq!(listener.local_addr().unwrap(), address);
    }
}
