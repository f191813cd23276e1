//! The official Python client and server of MCP, through the sidecar, as `make demo` tells it.

use std::process::Command;

use latchkey_tests::golden::root;

/// What the story shows on the way, besides every outcome that it checks itself.
const SHOWN: [&str; 5] = [
    // Both eras, each with an allowed and a denied call.
    "legacy",
    "2026-07-28",
    // The refusal and its reason reach the application; so does the shorter list.
    "no_permission",
    "denied_by_policy",
    "Every outcome was the expected one",
];

#[test]
fn the_official_client_is_allowed_denied_and_shown_a_filtered_list_in_both_eras() {
    let output = Command::new("make")
        .arg("demo")
        .current_dir(root())
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let story = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{story}\n{said}");
    for shown in SHOWN {
        assert!(story.contains(shown), "`{shown}` is missing:\n{story}");
    }
}
