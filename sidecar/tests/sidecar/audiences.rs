//! For whom a token is (RFC 8707): what another server's caller holds is nothing here.

use serde_json::{Value, json};

use crate::{
    bundle::{self, with},
    client,
    rig::Rig,
};

const OWN: &str = "https://tools.example/github";
const OTHER: &str = "https://tools.example/payments";

/// A sidecar before one of two servers whose tokens come from the same issuer.
fn rig(own: Option<&str>) -> Rig {
    let mut release = bundle::Release::new(1);
    release.settings.audience = own.map(str::to_owned);
    release.index = |index| {
        index.issuers[0].audiences = vec![OWN.to_owned(), OTHER.to_owned()];
    };
    Rig::with(&release, "")
}

fn status(rig: &Rig, audience: &Value) -> u16 {
    rig.call(&with(&json!({ "aud": audience })), "get_issue")
        .status
}

#[test]
fn a_server_with_an_audience_of_its_own_takes_no_other() {
    let rig = rig(Some(OWN));
    for good in [
        json!(OWN),
        json!([OWN]),
        json!([OWN, "https://elsewhere.example"]),
        // Another server's audience besides is that server's affair.
        json!([OWN, OTHER]),
        json!("HTTPS://Tools.Example:443/github/"),
    ] {
        assert_eq!(status(&rig, &good), 200, "{good}");
    }
    for bad in [
        json!(OTHER),
        json!([OTHER]),
        json!("https://tools.example"),
        json!("https://tools.example/github/mcp"),
        json!("https://tools.example/GitHub"),
        json!("https://tools.example/git%68ub"),
        json!("https://tools.example@evil.example/github"),
        json!([OWN, OWN]),
        json!([OWN, "https://TOOLS.example/github"]),
        json!([]),
        json!(""),
        json!(null),
        json!({"aud": OWN}),
        json!([OWN, 7]),
    ] {
        assert_eq!(status(&rig, &bad), 401, "{bad}");
        let event = rig.events().pop().unwrap();
        let detail = event["detail"].as_str().unwrap();
        let says = detail.contains("audiences") || detail.contains("`aud`");
        assert!(says, "{bad}: {detail}");
    }
    assert_eq!(rig.server.seen().len(), 5);
    let metadata = "/.well-known/oauth-protected-resource/github";
    let metadata = client::get(rig.sidecar.address, metadata).json();
    assert_eq!(metadata["resource"], OWN);
    assert_eq!(
        metadata["authorization_servers"],
        json!(["https://idp.example"])
    );
}

#[test]
fn a_server_without_one_takes_each_of_the_issuers_but_not_two() {
    let rig = rig(None);
    for good in [json!(OWN), json!(OTHER), json!([OTHER])] {
        assert_eq!(status(&rig, &good), 200, "{good}");
    }
    for bad in [json!([OWN, OTHER]), json!("https://tools.example")] {
        assert_eq!(status(&rig, &bad), 401, "{bad}");
    }
}
