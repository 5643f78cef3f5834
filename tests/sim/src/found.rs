/// Seeds that have found something in the switch, and what it was. Each has a scripted test of its own beside it.
///
/// A seed stands for the same run only as long as the simulation draws the same things in the same order.
pub const FOUND: &[(&str, u64)] = &[
    ("a caller who gave up while it was decided about them became a call", 14),
    ("a far end whose late answer was not ended before the process died stayed in the call", 155),
    ("a call had an event after its end: audio that was heard while its port closed", 647),
    ("a repeated re-INVITE was refused with 491 and then accepted", 752),
    ("a leg whose ACK never came was billed until its BYE was answered", 46),
];
