//! The whole switch: datagrams, commands, answers and time as the input says, and then the peace in which nothing may
//! be left.
//!
//! The input is a program: each step is an octet that says what happens and the octets that it needs. What is not
//! there reads as zero, so every input is a program.

mod input;
mod peer;
mod world;

use input::Input;
use world::World;

/// So that one input does not take seconds.
const MOST_STEPS: usize = 200;

pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let mut world = World::new();
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        step(&mut world, &mut input);
        world.expect_limits();
    }
    world.finish();
}

fn step(world: &mut World, input: &mut Input<'_>) {
    match input.below(16) {
        0 => world.pass(u64::from(input.octet())),
        1 => world.pass(100 * u64::from(input.octet())),
        2 | 3 => world.dial(input),
        4 => world.hang_up(input),
        5..=7 => world.respond(input),
        8 => world.receive(input),
        9 => world.ask_within(input),
        10 => world.acknowledge(input),
        11 => world.repeat(input),
        12 => world.answer(input),
        13 => world.resolve(input),
        14 => world.fail_transport(input),
        _ => match input.below(5) {
            0 => world.end_all(),
            1 => world.change_routes(input),
            2 => world.probe(input),
            3 => world.hear_media(input),
            _ => world.invite(input),
        },
    }
}
