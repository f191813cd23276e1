//! What is known of one attribute of a call.

use std::net::IpAddr;

use crate::{decimal::Decimal, time::Time};

/// One attribute of a call, borrowed from the request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slot<'a> {
    /// The request was given and does not have it.
    Absent,
    /// Not given yet: discovery asks before there are arguments.
    Unknown,
    /// Present, but not as a value that policy can read: an object, a null, a number out of range,
    /// a text that its fold cannot settle. Every test on it but presence is undetermined.
    Opaque,
    /// A boolean.
    Bool(bool),
    /// A number, exact.
    Number(Decimal),
    /// A text, folded as the registry says.
    Text(&'a str),
    /// A network address.
    Address(IpAddr),
    /// A point in time.
    Time(Time),
    /// A list. For an attribute with [`Segment::Each`](crate::condition::Segment::Each) it has one
    /// element per list element: that element's field.
    List(&'a [Slot<'a>]),
}
