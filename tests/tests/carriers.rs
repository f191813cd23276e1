//! A release through a folder, a real web server and back.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "carried/releases.rs"]
mod releases;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use latchkey_carrier::{Carrier, How, Kind, Location, Options, names, publish};
use latchkey_tests::program::program;
use releases::{Made, Program, free_address, packaged, run};
use tempfile::TempDir;

/// nginx on loopback, serving a folder, with its access log.
struct Nginx {
    address: SocketAddr,
    folder: TempDir,
    _program: Program,
}

impl Nginx {
    /// A server that only serves, or one that files can be put to as well.
    fn start(dav: &str) -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let root = folder.path();
        fs::create_dir(root.join("served")).unwrap();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|it| format!("{it}_temp_path {}/{it};", root.display()));
        // Whoever runs the tests runs the workers, so that they may write below a private folder.
        let user = if fs::metadata("/root").is_ok_and(|_| fs::read_dir("/root").is_ok()) {
            "user root;"
        } else {
            ""
        };
        let config = format!(
            "{user} daemon off; master_process off; pid {0}/pid; error_log {0}/error.log;\n\
             events {{}}\nhttp {{ log_format short '$request_method $uri $status';\n\
             access_log {0}/access.log short; {1}\n\
             server {{ listen {address}; root {0}/served; client_max_body_size 100m; {dav} }} }}\n",
            root.display(),
            temporary.join(" ")
        );
        fs::write(root.join("nginx.conf"), config).unwrap();
        let program = Command::new(packaged("nginx", "/usr/sbin/nginx"))
            .arg("-e")
            .arg(root.join("error.log"))
            .arg("-c")
            .arg(root.join("nginx.conf"))
            .stderr(Stdio::null())
            .spawn();
        let mut program = Program(program.unwrap());
        let why = || fs::read_to_string(root.join("error.log")).unwrap_or_default();
        program.wait_for(address, why);
        Self {
            address,
            folder,
            _program: program,
        }
    }

    fn location(&self) -> Location {
        format!("http://{}/", self.address).parse().unwrap()
    }

    fn served(&self) -> Location {
        Location::Folder(self.folder.path().join("served"))
    }

    /// The requests so far, as `METHOD /path status`.
    fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("access.log")).unwrap();
        log.lines().map(str::to_owned).collect()
    }
}

fn assert_pulls(location: &Location, made: &Made, into: &Path) -> publish::Pulled {
    let pulled = run(publish::pull(location, into, &Options::default())).unwrap();
    made.assert_in(into);
    pulled
}

#[test]
fn a_pushed_folder_is_served_by_any_web_server() {
    let nginx = Nginx::start("");
    let options = Options::default();
    let first = Made::first();
    first.push(&nginx.served(), &options);
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("release");
    assert_pulls(&nginx.location(), &first, &into);
    let reader = Carrier::open(&nginx.location(), options.clone()).unwrap();
    assert_eq!(run(reader.changed(None)), Ok(true));
    let before = nginx.requests().len();
    for _ in 0..3 {
        assert_eq!(run(reader.changed(None)), Ok(false));
    }
    let polls = nginx.requests().split_off(before);
    let unchanged = polls
        .iter()
        .filter(|it| *it == "GET /release.dsse.json 304");
    assert_eq!(unchanged.count(), 3, "{polls:?}");

    let second = first.next();
    second.push(&nginx.served(), &options);
    assert_eq!(run(reader.changed(None)), Ok(true));
    let pulled = assert_pulls(&nginx.location(), &second, &into);
    let how: Vec<_> = pulled.subjects.iter().map(|(_, how)| *how).collect();
    assert_eq!(how, [How::Patch, How::Held, How::Held]);
    assert!(pulled.transferred < 1000, "{pulled:?}");
}

#[test]
fn files_are_put_to_a_webdav_server() {
    let nginx = Nginx::start("dav_methods PUT MKCOL; create_full_put_path on;");
    let options = Options::default();
    let first = Made::first();
    let second = first.next();
    first.push(&nginx.location(), &options);
    let pushed = second.push(&nginx.location(), &options);
    let patch = names::patch(
        &first.subject("github.lkb").sha256,
        &second.subject("github.lkb").sha256,
    );
    assert!(pushed.written.iter().any(|it| it.name == patch));
    let folder = tempfile::tempdir().unwrap();
    assert_pulls(&nginx.location(), &second, &folder.path().join("http"));
    // What was put one by one is what a push into the folder would have made.
    assert_pulls(&nginx.served(), &second, &folder.path().join("folder"));
    let refused = run(publish::push(
        first.folder().path(),
        &nginx.location(),
        &options,
    ));
    assert_eq!(refused.unwrap_err().kind(), Kind::Conflict);
}

#[test]
fn folders_are_made_where_the_server_wants_them_first() {
    let nginx = Nginx::start("dav_methods PUT MKCOL;");
    let made = Made::first();
    made.push(&nginx.location(), &Options::default());
    let made_folders = nginx.requests();
    assert!(
        made_folders.iter().any(|it| it == "MKCOL /files/ 201"),
        "{made_folders:?}"
    );
    let folder = tempfile::tempdir().unwrap();
    assert_pulls(&nginx.location(), &made, &folder.path().join("release"));
}

#[test]
fn a_server_that_only_serves_says_so_to_a_push() {
    let nginx = Nginx::start("");
    let made = Made::first();
    let folder = made.folder();
    let refused = run(publish::push(
        folder.path(),
        &nginx.location(),
        &Options::default(),
    ));
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), Kind::Answer);
    assert!(error.to_string().contains("405"), "{error}");
}

/// A certificate for loopback, by an authority that only those trust who are told to.
fn certificate(folder: &Path) {
    fs::write(folder.join("extensions"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    for arguments in [
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout authority.key \
         -out authority.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=loopback -keyout key.pem -out request.pem",
        "x509 -req -in request.pem -CA authority.pem -CAkey authority.key -set_serial 1 -days 2 \
         -extfile extensions -out certificate.pem",
    ] {
        let made = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(folder)
            .output();
        let made = made.unwrap_or_else(|error| {
            panic!("this test needs openssl; install it (`apt-get install openssl`): {error}")
        });
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
    }
}

/// Pulls as an operator does, trusting the authorities in a file.
fn pull_with(authorities: &Path, from: &str, into: &Path) -> Result<(), String> {
    let output = Command::new(program("latchkey"))
        .args(["pull", from])
        .arg(into)
        .env("SSL_CERT_FILE", authorities)
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8(output.stderr).unwrap())
}

#[test]
fn over_tls_the_certificate_counts_and_no_redirect_leads_out_of_it() {
    let keys = tempfile::tempdir().unwrap();
    certificate(keys.path());
    let plain = Nginx::start("");
    let address = free_address();
    let nginx = Nginx::start(&format!(
        "listen {address} ssl; ssl_certificate {0}/certificate.pem;\n\
         ssl_certificate_key {0}/key.pem;\n\
         rewrite ^/out/(.*)$ http://{1}/$1 redirect; rewrite ^/on/(.*)$ /$1 redirect;",
        keys.path().display(),
        plain.address,
    ));
    let made = Made::first();
    for server in [&plain, &nginx] {
        made.push(&server.served(), &Options::default());
    }
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("release");
    let trusted = keys.path().join("authority.pem");
    let from = |path: &str| format!("https://{address}/{path}");

    let error = pull_with(&trusted, &from("out/"), &into).unwrap_err();
    assert!(error.contains("from https to http"), "{error}");
    assert!(plain.requests().is_empty());
    let other = tempfile::tempdir().unwrap();
    certificate(other.path());
    let error = pull_with(&other.path().join("authority.pem"), &from(""), &into).unwrap_err();
    assert!(error.contains("certificate"), "{error}");
    assert!(!into.exists());
    pull_with(&trusted, &from("on/"), &into).unwrap();
    made.assert_in(&into);
}
