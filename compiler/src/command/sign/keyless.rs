//! Signing without a key: as the identity of a CI job, which Sigstore vouches for.
//!
//! The job's identity token buys a certificate of some minutes (Fulcio), the signature is logged
//! (Rekor), and the bundle holds the evidence of both. The token is sent to Fulcio only and is
//! never printed; the private key never leaves memory.

use super::super::Failure;

/// Which Sigstore signs; the public one by default.
#[derive(Debug, clap::Args)]
pub(super) struct Sigstore {
    /// Sign as the identity of this CI job, through Sigstore
    #[arg(long, group = "with")]
    pub(super) keyless: bool,
    /// The certificate authority of a Sigstore of your own
    #[arg(long, value_name = "URL", requires_all = ["keyless", "rekor"])]
    fulcio: Option<String>,
    /// Its transparency log (version 1 of Rekor)
    #[arg(long, value_name = "URL", requires_all = ["keyless", "fulcio"])]
    rekor: Option<String>,
    /// Its timestamp authority, if it has one
    #[arg(long, value_name = "URL", requires_all = ["keyless", "fulcio"])]
    timestamps: Option<String>,
}

#[cfg(not(feature = "keyless-sign"))]
impl Sigstore {
    /// A bundle over a payload.
    pub(super) fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Failure> {
        let own = [&self.fulcio, &self.rekor, &self.timestamps];
        let own = own.into_iter().any(Option::is_some);
        Err(Failure::usage(if own {
            "this latchkey was built without keyless signing, by whatever Sigstore"
        } else {
            "this latchkey was built without keyless signing"
        })
        .help(
            "build it with `--features keyless-sign`, or let another tool sign the statement and \
             give its bundle with `--bundle`",
        ))
    }
}

#[cfg(feature = "keyless-sign")]
impl Sigstore {
    /// A bundle over a payload, which is signed byte for byte as it is.
    pub(super) fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, Failure> {
        let runtime = super::supply::runtime()?;
        let signed = runtime.block_on(async {
            let token = token().await?;
            let signer = self.context()?.signer(token);
            signer.sign_raw_statement(payload).await.map_err(|error| {
                Failure::unverified(format!("Sigstore did not sign: {}", chain(&error)))
                    .help("check the job's identity token and that Fulcio and Rekor can be reached")
            })
        });
        let json = signed?.to_json();
        json.map(String::into_bytes)
            .map_err(|error| Failure::internal(error.to_string()))
    }

    fn context(&self) -> Result<sigstore_sign::SigningContext, Failure> {
        use sigstore_sign::{SigningContext, SigningServices, SigstoreInstance, reqwest};
        let services = match (&self.fulcio, &self.rekor) {
            (Some(fulcio), Some(rekor)) => {
                let services = SigningServices::new(fulcio, rekor);
                match &self.timestamps {
                    Some(url) => services.with_tsa_url(url),
                    None => services,
                }
            }
            _ => SigningServices::from_embedded(SigstoreInstance::PublicGood)
                .map_err(|error| Failure::internal(error.to_string()))?,
        };
        let client = reqwest::Client::builder().timeout(TIMEOUT).build();
        let client = client.map_err(|error| Failure::internal(chain(&error)))?;
        Ok(SigningContext::new(services).with_http_client(client))
    }
}

/// How long each service may take to answer.
#[cfg(feature = "keyless-sign")]
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// The identity token of the job: stated, or asked of the CI system.
#[cfg(feature = "keyless-sign")]
async fn token() -> Result<sigstore_sign::oidc::IdentityToken, Failure> {
    use sigstore_sign::oidc::IdentityToken;
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::usage(format!(
            "the identity token of this job cannot be used: {error}"
        ))
        .help("give a token for the audience `sigstore`")
    };
    if let Ok(token) = std::env::var("SIGSTORE_ID_TOKEN") {
        return IdentityToken::from_jwt(token.trim()).map_err(|error| wrong(&error));
    }
    let found = IdentityToken::detect_ambient().await;
    found.map_err(|error| wrong(&error))?.ok_or_else(|| {
        Failure::usage("there is no identity to sign as").help(
            "run this in a CI job that may ask for one (GitHub: `permissions: id-token: write`), \
             or set SIGSTORE_ID_TOKEN",
        )
    })
}

/// An error with its causes: the outermost rarely says what to do.
#[cfg(feature = "keyless-sign")]
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_said = cause.to_string();
        if !said.contains(&cause_said) {
            said = format!("{said}: {cause_said}");
        }
        source = cause.source();
    }
    said
}
