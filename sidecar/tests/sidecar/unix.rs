//! Unix sockets, and several addresses at a time.

use std::os::unix::fs::PermissionsExt;

use tokio::net::UnixStream;

use crate::{
    bundle::token,
    rig::Rig,
    web::{Web, run},
};

#[test]
fn one_sidecar_serves_a_unix_socket_and_a_port() {
    let rig =
        Rig::start("listen = {address = [\"127.0.0.1:0\", \"unix:x.sock\"], unix_mode = \"0620\"}");
    let path = rig.folder.path().join("x.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o620);
    run(async {
        let mut web = Web::one(UnixStream::connect(&path).await.unwrap()).await;
        let answer = web.call(&token("alice"), "get_issue").await.unwrap();
        assert_eq!(answer.outcome(), "ok");
        let answer = web.call(&token("bob"), "get_issue").await.unwrap();
        assert_eq!(answer.outcome(), "surface_unmatched");
    });
    assert_eq!(rig.call(&token("alice"), "get_issue").outcome(), "ok");
    assert_eq!(rig.events().len(), 3);
    assert_eq!(rig.server.seen().len(), 2);
}
