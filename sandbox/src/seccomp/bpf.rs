//! Answers by number to classic BPF (linux/filter.h, linux/seccomp.h): a search tree for each
//! architecture.

use super::Answer;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// Instructions: load a word of the data, jump, jump if equal, jump if at least, return.
const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// `SECCOMP_RET_ALLOW` and `SECCOMP_RET_ERRNO`.
const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

/// The program for architectures by their number, each with where another answer begins; the
/// first of these is that of call 0. What is of another architecture does not exist.
pub(super) fn program(architectures: &[(u32, Vec<(u32, Answer)>)]) -> Vec<u64> {
    let mut out = vec![instruction(LOAD, 0, 0, ARCH)];
    for (token, starts) in architectures {
        let mut tree = vec![instruction(LOAD, 0, 0, NUMBER)];
        branch(starts, &mut tree);
        // Jumps on conditions are short, others are not.
        out.push(instruction(IF_EQUAL, 1, 0, *token));
        out.push(instruction(JUMP, 0, 0, tree.len() as u32));
        out.append(&mut tree);
    }
    out.push(answer(Answer::ENOSYS));
    out
}

fn branch(starts: &[(u32, Answer)], out: &mut Vec<u64>) {
    match starts {
        [] => {}
        [(_, only)] => out.push(answer(*only)),
        _ => {
            let (low, high) = starts.split_at(starts.len() / 2);
            let mut below = Vec::new();
            branch(low, &mut below);
            match u8::try_from(below.len()) {
                Ok(length) => out.push(instruction(IF_AT_LEAST, length, 0, high[0].0)),
                // Too far for a jump on a condition.
                Err(_) => {
                    out.push(instruction(IF_AT_LEAST, 0, 1, high[0].0));
                    out.push(instruction(JUMP, 0, 0, below.len() as u32));
                }
            }
            out.append(&mut below);
            branch(high, out);
        }
    }
}

fn answer(answer: Answer) -> u64 {
    let value = match answer {
        Answer::Allow => ALLOW,
        Answer::Success => ERRNO,
        Answer::EPERM => ERRNO | libc::EPERM as u32,
        Answer::ENOSYS => ERRNO | libc::ENOSYS as u32,
    };
    instruction(RETURN, 0, 0, value)
}

/// `struct sock_filter` in the byte order of this machine.
fn instruction(code: u16, if_true: u8, if_false: u8, value: u32) -> u64 {
    let [a, b] = code.to_ne_bytes();
    let [c, d, e, f] = value.to_ne_bytes();
    u64::from_ne_bytes([a, b, if_true, if_false, c, d, e, f])
}
