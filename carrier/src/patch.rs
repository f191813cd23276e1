//! Patches: a zstd frame that makes one version of a file from another.
//!
//! The frame refers to the old version as the text that comes before its own, with long-distance
//! matching and a window over both. A patch needs no signature, because only what has the signed
//! digest is handed out.

use std::fmt;

use latchkey_gate::supply::{Digest, Subject};
use zstd_safe::{CCtx, CParameter, DCtx};

/// How hard is tried; beyond it, a little less size costs much more time.
const LEVEL: i32 = 3;
/// The least and greatest window, as powers of two.
const WINDOWS: (u32, u32) = (17, 30);

/// Why there is no patch, or none that could be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchError {
    /// The two versions together are beyond the greatest window, or memory ran out.
    TooLarge,
    /// Not a frame that fits the old version, or one that makes more than it should.
    Unreadable,
    /// It makes other bytes than the ones that are signed.
    Mismatch,
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the files are too large for a patch; use them whole",
            Self::Unreadable => "the patch does not fit; use the whole file",
            Self::Mismatch => "the patch makes other bytes than the signed ones; push it again",
        })
    }
}

impl std::error::Error for PatchError {}

/// Makes the patch from one version to another; from nothing, it is the compressed file.
///
/// The same two files give the same patch as long as the version of zstd is the same.
pub fn make(from: &[u8], to: &[u8]) -> Result<Vec<u8>, PatchError> {
    let window = window(from.len(), to.len())?;
    let mut context = CCtx::try_create().ok_or(PatchError::TooLarge)?;
    let parameters = [
        CParameter::CompressionLevel(LEVEL),
        CParameter::WindowLog(window),
        CParameter::EnableLongDistanceMatching(!from.is_empty()),
        CParameter::ChecksumFlag(false),
    ];
    for parameter in parameters {
        let set = context.set_parameter(parameter);
        set.map_err(|_| PatchError::TooLarge)?;
    }
    if !from.is_empty() {
        let set = context.ref_prefix(from);
        set.map_err(|_| PatchError::TooLarge)?;
    }
    let mut patch = buffer(zstd_safe::compress_bound(to.len()))?;
    let made = context.compress2(&mut patch, to);
    made.map_err(|_| PatchError::TooLarge)?;
    patch.shrink_to_fit();
    Ok(patch)
}

/// Applies a patch; what comes out has the size and digest of the subject.
///
/// The output is decoded into one buffer of the signed size: there is no other window, and no
/// frame can make more than that.
pub fn apply(from: &[u8], patch: &[u8], subject: &Subject) -> Result<Vec<u8>, PatchError> {
    let size = usize::try_from(subject.size).map_err(|_| PatchError::TooLarge)?;
    let mut context = DCtx::try_create().ok_or(PatchError::TooLarge)?;
    if !from.is_empty() {
        let set = context.ref_prefix(from);
        set.map_err(|_| PatchError::Unreadable)?;
    }
    let mut bytes = buffer(size)?;
    let made = context.decompress(&mut bytes, patch);
    made.map_err(|_| PatchError::Unreadable)?;
    if bytes.len() != size || Digest::of(&bytes) != subject.sha256 {
        return Err(PatchError::Mismatch);
    }
    Ok(bytes)
}

/// The largest patch that can be worth having for a file of some size, in bytes.
pub fn largest(size: u64) -> u64 {
    size.saturating_add(size / 128).saturating_add(1024)
}

/// The window that reaches from the end of the new version to the start of the old.
fn window(from: usize, to: usize) -> Result<u32, PatchError> {
    let (least, greatest) = WINDOWS;
    let both = from.saturating_add(to).max(1);
    let log = both
        .checked_next_power_of_two()
        .map_or(u32::MAX, usize::trailing_zeros);
    // Without an old version a window only bounds how far back a match is looked for.
    match log {
        log if log <= greatest => Ok(log.max(least)),
        _ if from == 0 => Ok(greatest),
        _ => Err(PatchError::TooLarge),
    }
}

fn buffer(size: usize) -> Result<Vec<u8>, PatchError> {
    let mut buffer = Vec::new();
    let reserved = buffer.try_reserve_exact(size);
    reserved.map_err(|_| PatchError::TooLarge)?;
    Ok(buffer)
}

#[cfg(test)]
mod tests;
