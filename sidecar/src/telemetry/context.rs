//! W3C trace context: which trace a request belongs to. Whoever calls says so, and nothing is
//! decided by it.

use crate::ids;

/// The trace of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace, 32 digits in lower-case hex.
    pub trace_id: String,
    /// The caller's span, 16 digits.
    pub parent: Option<String>,
    /// Whether the trace is recorded.
    pub sampled: bool,
}

/// The random bits of a trace id that decide about sampling.
const BITS: u32 = 56;

/// Of 2^56 traces, the share of a sample.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share between 0 and 1 of a number that fits"
)]
pub(super) fn threshold(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * (1_u64 << BITS) as f64) as u64
}

impl TraceContext {
    /// Reads a `traceparent`; `None` where it is not well-formed.
    #[must_use]
    pub fn read(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
        let flags = parts.next()?;
        let hex = |text: &str, length| {
            text.len() == length
                && text
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let id = |text: &str, length| hex(text, length) && text.bytes().any(|b| b != b'0');
        let known = version == "00" && id(trace, 32) && id(span, 16) && hex(flags, 2);
        if !known || parts.next().is_some() {
            return None;
        }
        Some(Self {
            trace_id: trace.to_owned(),
            parent: Some(span.to_owned()),
            sampled: u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1),
        })
    }

    /// A new trace. Without a threshold nothing is recorded here, and those behind may.
    #[must_use]
    pub fn begin(threshold: Option<u64>) -> Self {
        let trace_id = ids::trace();
        let random = trace_id.get(18..).unwrap_or_default();
        let random = u64::from_str_radix(random, 16).unwrap_or(0);
        Self {
            sampled: threshold.is_none_or(|threshold| random < threshold),
            trace_id,
            parent: None,
        }
    }

    /// What goes upstream, with the span there that calls.
    #[must_use]
    pub fn traceparent(&self, span_id: &str) -> String {
        let flags = if self.sampled { "-01" } else { "-00" };
        ["00-", &self.trace_id, "-", span_id, flags].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_well_formed_traces_only() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let read = TraceContext::read(&format!("00-{trace}-00f067aa0ba902b7-01")).unwrap();
        assert_eq!(read.trace_id, trace);
        assert_eq!(read.parent.as_deref(), Some("00f067aa0ba902b7"));
        assert!(read.sampled);
        let read = TraceContext::read(&format!("00-{trace}-00f067aa0ba902b7-00")).unwrap();
        assert!(!read.sampled);
        assert_eq!(
            read.traceparent("1234567890abcdef"),
            format!("00-{trace}-1234567890abcdef-00")
        );
        for bad in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-1-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_sample_is_a_share() {
        let share = |share| {
            let all = (0..2000).map(|_| TraceContext::begin(Some(threshold(share))));
            all.filter(|context| context.sampled).count()
        };
        assert_eq!(share(0.0), 0);
        assert_eq!(share(1.0), 2000);
        assert!((300..700).contains(&share(0.25)));
        assert!(TraceContext::begin(None).sampled);
    }
}
