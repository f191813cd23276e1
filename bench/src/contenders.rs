//! The proxies that are measured, each started as it would be run, and asked whether it does what
//! it is measured for.

use std::{ffi::OsStr, fs, net::SocketAddr, path::Path};

use serde_json::{Value, json};

use crate::{
    exchange,
    load::Connection,
    process::{self, Failure, Folder, Guarded},
};

/// The one that every figure is compared with.
pub const BASE: &str = "pass-through (hyper)";
/// Our own.
pub const SIDECAR: &str = "latchkey-sidecar";

/// A proxy that is measured.
#[derive(Debug)]
pub struct Contender {
    /// What tables call it.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub process: Guarded,
    /// Whether it asks who calls, and what.
    polices: bool,
}

/// Starts all that are there, in front of one upstream, on one processor if so wanted.
pub fn all(
    folder: &Folder,
    upstream: SocketAddr,
    processor: Option<usize>,
) -> Result<Vec<Contender>, Failure> {
    let mut all = vec![
        passthrough(folder, upstream, processor, &[])?,
        sidecar(folder, upstream, processor, &[])?,
    ];
    match nginx(folder, upstream, processor)? {
        Some(nginx) => all.push(nginx),
        None => println!("nginx is not installed; it is left out"),
    }
    let kinds = [
        ("envoy", Envoy::Plain),
        ("envoy, policy, cache", Envoy::Policy { cache: true }),
        ("envoy, policy", Envoy::Policy { cache: false }),
    ];
    for (name, kind) in kinds {
        match envoy(folder, upstream, processor, name, kind)? {
            Some(envoy) => all.push(envoy),
            None => println!("envoy is not installed; `{name}` is left out"),
        }
    }
    Ok(all)
}

/// The bare pass-through; `under` is a command that it runs under, such as a profiler.
pub fn passthrough(
    folder: &Folder,
    upstream: SocketAddr,
    processor: Option<usize>,
    under: &[String],
) -> Result<Contender, Failure> {
    let address = process::free_address()?;
    let program = process::beside("passthrough")?;
    let (own, behind) = (address.to_string(), upstream.to_string());
    let mut command: Vec<&OsStr> = under.iter().map(OsStr::new).collect();
    command.extend([program.as_os_str(), own.as_ref(), behind.as_ref()]);
    let log = folder.file("passthrough.log");
    let process = listening(&command, address, &log, processor)?;
    Ok(Contender {
        name: BASE,
        address,
        process,
        polices: false,
    })
}

/// Starts one of our own programs.
pub fn start(
    folder: &Folder,
    name: &str,
    address: SocketAddr,
    more: &[&str],
    processor: Option<usize>,
) -> Result<Guarded, Failure> {
    let program = process::beside(name)?;
    let address_text = address.to_string();
    let mut command = vec![program.as_os_str(), OsStr::new(&address_text)];
    command.extend(more.iter().map(OsStr::new));
    listening(
        &command,
        address,
        &folder.file(&format!("{name}.log")),
        processor,
    )
}

fn listening(
    command: &[&OsStr],
    address: SocketAddr,
    log: &Path,
    processor: Option<usize>,
) -> Result<Guarded, Failure> {
    let mut process = Guarded::start(command, log, processor)?;
    process.await_port(address, log)?;
    Ok(process)
}

/// The sidecar with everything on; `under` is a command that it runs under, such as a profiler.
pub fn sidecar(
    folder: &Folder,
    upstream: SocketAddr,
    processor: Option<usize>,
    under: &[String],
) -> Result<Contender, Failure> {
    let address = process::free_address()?;
    let policy = exchange::build_policy(folder.path(), upstream)?;
    let admin = process::free_address()?;
    fs::create_dir_all(folder.file("state"))?;
    let settings = folder.file("sidecar.toml");
    let text = format!(
        "{policy}[listen]\naddress = \"{address}\"\nmax_connections = 20000\n\
         [admin]\naddress = \"{admin}\"\n\
         [state]\ndirectory = \"state\"\n[audit]\nfile = \"audit.jsonl\"\n"
    );
    fs::write(&settings, text)?;
    let program = process::beside("latchkey-sidecar")?;
    let mut command: Vec<&OsStr> = under.iter().map(OsStr::new).collect();
    command.extend([
        program.as_os_str(),
        "--config".as_ref(),
        settings.as_os_str(),
    ]);
    let process = listening(&command, address, &folder.file("sidecar.log"), processor)?;
    Ok(Contender {
        name: SIDECAR,
        address,
        process,
        polices: true,
    })
}

/// nginx as a pass-through with kept connections, if it is there.
fn nginx(
    folder: &Folder,
    upstream: SocketAddr,
    processor: Option<usize>,
) -> Result<Option<Contender>, Failure> {
    let address = process::free_address()?;
    let found = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/bin/nginx"];
    let Some(program) = found.iter().find(|path| Path::new(path).is_file()) else {
        return Ok(None);
    };
    let home = folder.path().display();
    let settings = folder.file("nginx.conf");
    fs::write(
        &settings,
        format!(
            "daemon off; worker_processes 1; pid {home}/nginx.pid; error_log stderr;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n  access_log off; client_body_temp_path {home}/body;\n\
             proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;\n\
             uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;\n\
             keepalive_requests 100000000;\n\
             upstream tools {{ server {upstream}; keepalive 64; keepalive_requests 100000000; }}\n\
             server {{\n listen {address};\n location / {{ proxy_pass http://tools; \
             proxy_http_version 1.1; proxy_set_header Connection \"\"; }}\n }}\n}}\n"
        ),
    )?;
    let prefix = folder.path().as_os_str();
    let command = [
        OsStr::new(program),
        "-p".as_ref(),
        prefix,
        "-c".as_ref(),
        settings.as_os_str(),
        "-e".as_ref(),
        "stderr".as_ref(),
    ];
    let process = listening(&command, address, &folder.file("nginx.log"), processor)?;
    Ok(Some(Contender {
        name: "nginx",
        address,
        process,
        polices: false,
    }))
}

/// What Envoy is to do.
#[derive(Debug, Clone, Copy)]
enum Envoy {
    /// Pass on.
    Plain,
    /// Verify the token, read the MCP message, and allow by the tool's name and a claim.
    Policy {
        /// Whether verified tokens are remembered, which they are not unless asked for.
        cache: bool,
    },
}

/// Envoy on one thread, if `LATCHKEY_ENVOY` says where it is.
fn envoy(
    folder: &Folder,
    upstream: SocketAddr,
    processor: Option<usize>,
    name: &'static str,
    kind: Envoy,
) -> Result<Option<Contender>, Failure> {
    let Some(program) = std::env::var_os("LATCHKEY_ENVOY").filter(|it| Path::new(it).is_file())
    else {
        return Ok(None);
    };
    let (address, admin) = (process::free_address()?, process::free_address()?);
    let settings = folder.file(&format!("envoy-{}.json", address.port()));
    fs::write(
        &settings,
        bootstrap(address, admin, upstream, kind).to_string(),
    )?;
    let options = [
        "--concurrency",
        "1",
        "--use-dynamic-base-id",
        "--disable-hot-restart",
    ];
    let mut command = vec![program.as_os_str(), "-c".as_ref(), settings.as_os_str()];
    command.extend(options.map(OsStr::new));
    command.extend(["-l", "warn"].map(OsStr::new));
    let log = folder.file(&format!("envoy-{}.log", address.port()));
    let process = listening(&command, address, &log, processor)?;
    Ok(Some(Contender {
        name,
        address,
        process,
        polices: matches!(kind, Envoy::Policy { .. }),
    }))
}

fn bootstrap(address: SocketAddr, admin: SocketAddr, upstream: SocketAddr, kind: Envoy) -> Value {
    let filters: Vec<Value> = match kind {
        Envoy::Plain => vec![filter("router", "router", "Router", json!({}))],
        Envoy::Policy { cache } => vec![
            filter(
                "jwt_authn",
                "jwt_authn",
                "JwtAuthentication",
                authentication(cache),
            ),
            filter("mcp", "mcp", "Mcp", json!({})),
            filter("rbac", "rbac", "RBAC", authorization()),
            filter("router", "router", "Router", json!({})),
        ],
    };
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3\
                  .HttpConnectionManager",
        "stat_prefix": "h", "http_filters": filters, "generate_request_id": false,
        "route_config": {"virtual_hosts": [{
            "name": "v", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "0s"}}],
        }]},
    });
    let chain = json!({"filters": [{
        "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
    }]});
    json!({
        "admin": {"address": socket(admin)},
        "static_resources": {
            "listeners": [{"name": "l", "address": socket(address), "filter_chains": [chain]}],
            "clusters": [{
                "name": "up", "type": "STATIC", "connect_timeout": "2s",
                "load_assignment": {"cluster_name": "up", "endpoints": [{
                    "lb_endpoints": [{"endpoint": {"address": socket(upstream)}}],
                }]},
            }],
        },
    })
}

fn socket(address: SocketAddr) -> Value {
    let host = address.ip().to_string();
    json!({"socket_address": {"address": host, "port_value": address.port()}})
}

fn filter(name: &str, package: &str, kind: &str, mut settings: Value) -> Value {
    let path = format!("envoy.extensions.filters.http.{package}.v3.{kind}");
    settings["@type"] = format!("type.googleapis.com/{path}").into();
    json!({"name": format!("envoy.filters.http.{name}"), "typed_config": settings})
}

fn authentication(cache: bool) -> Value {
    let mut provider = json!({
        "issuer": exchange::ISSUER, "audiences": [exchange::AUDIENCE],
        "local_jwks": {"inline_string": exchange::keys()},
        "payload_in_metadata": "jwt", "forward": true,
    });
    if cache {
        provider["jwt_cache_config"] = json!({"jwt_cache_size": 100});
    }
    json!({
        "providers": {"idp": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
    })
}

/// Callers by their subject, calls by method and tool.
fn authorization() -> Value {
    let metadata = |filter: &str, path: &[&str], value: &str| {
        let path: Vec<Value> = path.iter().map(|key| json!({"key": key})).collect();
        json!({"sourced_metadata": {"metadata_matcher": {
            "filter": format!("envoy.filters.http.{filter}"),
            "path": path, "value": {"string_match": {"exact": value}},
        }}})
    };
    json!({"rules": {"action": "ALLOW", "policies": {"search": {
        "permissions": [{"and_rules": {"rules": [
            metadata("mcp", &["method"], "tools/call"),
            metadata("mcp", &["params", "name"], "search"),
        ]}}],
        "principals": [metadata("jwt_authn", &["jwt", "sub"], exchange::SUBJECT)],
    }}}})
}

/// A contender answers, and one that polices refuses what it must: else a figure would say nothing.
pub async fn smoke(contender: &Contender, token: &str) -> Result<(), Failure> {
    let mut connection = Connection::open(contender.address).await?;
    let good = exchange::request(contender.address, token, "search");
    let answer = connection.exchange(&good).await?;
    if answer.status != 200 || answer.body != exchange::result().as_bytes() {
        let said = String::from_utf8_lossy(&answer.body);
        return Err(format!("{} answers {}: {said}", contender.name, answer.status).into());
    }
    if !contender.polices {
        return Ok(());
    }
    let (signed, signature) = token.rsplit_once('.').ok_or("a token has a signature")?;
    let forged: String = signature.chars().rev().collect();
    let forged = format!("{signed}.{forged}");
    let mut connection = Connection::open(contender.address).await?;
    let forged = exchange::request(contender.address, &forged, "search");
    let answer = connection.exchange(&forged).await?;
    if answer.status != 401 {
        let name = contender.name;
        return Err(format!("{name}: a forged token is answered {}", answer.status).into());
    }
    let mut connection = Connection::open(contender.address).await?;
    let other = exchange::request(contender.address, token, "delete");
    let answer = connection.exchange(&other).await?;
    let refused = String::from_utf8_lossy(&answer.body).contains("\"error\"");
    if answer.status != 403 && !refused {
        return Err(format!("{}: a tool that is not granted is called", contender.name).into());
    }
    Ok(())
}
