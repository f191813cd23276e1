//! Section `schedules`.

use crate::diag::{Diagnostic, codes};
use crate::source::Spanned;
use crate::syntax::collection::List;
use crate::syntax::scalar::{Clock, Date, Timestamp, choice};
use crate::syntax::shape::{Map, Reader, record};
use crate::text::Text;

record! {
    /// What recurs by the clock of a place, for conditions to name: `schedule.NAME`.
    pub struct Schedule: "schedule" {
        /// The time zone of its days and hours, as IANA names it: `Europe/Berlin`.
        zone "zone": Spanned<Text>;
        /// When it is on, by local days and hours.
        windows "windows": List<Window>;
        /// Local dates on which it is not on.
        except "except": Option<List<Spanned<Date>>>;
        /// From when on it is worked out.
        not_before "notBefore": Spanned<Timestamp>;
        /// Until when it is worked out. From then on no grant holds that asks for it, on or off, and
        /// every denial does.
        expires "expires": Spanned<Timestamp>;
    }
}

record! {
    /// A time of day on some days of the week; it includes its beginning and not its end.
    pub struct Window: "window" {
        /// The days of the week; every day if absent.
        days "days": Option<List<Spanned<Weekday>>>;
        /// When it begins, as "09:00".
        from "from": Spanned<Clock>;
        /// When it ends, as "17:30", at the latest "24:00".
        to "to": Spanned<Clock>;
    }
    check check_window;
}

choice! {
    /// A day of the week.
    pub enum Weekday: "days" {
        /// The first day, by ISO 8601.
        Monday = "monday",
        /// The second.
        Tuesday = "tuesday",
        /// The third.
        Wednesday = "wednesday",
        /// The fourth.
        Thursday = "thursday",
        /// The fifth.
        Friday = "friday",
        /// The sixth.
        Saturday = "saturday",
        /// The seventh.
        Sunday = "sunday",
    }
}

fn check_window(window: &Window, _: &Map<'_>, cx: &mut Reader<'_>) -> bool {
    let (from, to) = (&window.from, &window.to);
    let sound = from.value < to.value;
    if !sound {
        let message = "this window ends before it begins";
        cx.sink.push(
            Diagnostic::new(&codes::DATES_REVERSED, to.span, message)
                .also(from.span, "it begins here")
                .help(
                    "a window that passes midnight is two: one to \"24:00\", and one from \"00:00\" \
                     on the days after",
                ),
        );
    }
    sound
}
