//! The Huffman code of RFC 7541, appendix B. It is canonical: the lengths alone tell the codes.

/// Length of each byte's code, in bits.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30,
    28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7,
    7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22,
    23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21,
    23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26,
    27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24,
    20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27,
    28, 27, 27, 27, 27, 27, 26,
];
/// Length of the code that no text contains.
const EOS_LENGTH: u8 = 30;
const EOS: usize = 256;

/// What four bits lead to.
#[derive(Clone, Copy)]
struct Step {
    next: u8,
    /// The byte that they complete, if `does` says so. The shortest code has five bits: there is one at most.
    byte: u8,
    does: Does,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Nothing,
    Emits,
    Fails,
}

/// The inner nodes of the code's tree: 257 leaves have 256 of them. Node 0 is the root.
struct Tree {
    /// An inner node, or a leaf as its symbol with [`LEAF`].
    children: [[u16; 2]; 256],
}

const LEAF: u16 = 0x8000;
const NONE: u16 = 0x7fff;

const fn tree() -> Tree {
    let mut children = [[NONE; 2]; 256];
    let (mut nodes, mut code, mut length) = (1u16, 0u32, 5u8);
    while length <= EOS_LENGTH {
        let mut symbol = 0;
        while symbol <= EOS {
            let own = if symbol == EOS { EOS_LENGTH } else { LENGTHS[symbol] };
            if own == length {
                let (mut node, mut bit) = (0usize, length);
                while bit > 1 {
                    bit -= 1;
                    let side = (code >> bit & 1) as usize;
                    if children[node][side] == NONE {
                        children[node][side] = nodes;
                        nodes += 1;
                    }
                    node = children[node][side] as usize;
                }
                children[node][(code & 1) as usize] = LEAF | symbol as u16;
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        length += 1;
    }
    Tree { children }
}

const fn steps() -> [[Step; 16]; 256] {
    let tree = tree();
    let mut steps = [[Step { next: 0, byte: 0, does: Does::Nothing }; 16]; 256];
    let mut state = 0;
    while state < 256 {
        let mut bits = 0;
        while bits < 16 {
            let mut step = Step { next: 0, byte: 0, does: Does::Nothing };
            let (mut node, mut bit) = (state, 4);
            while bit > 0 {
                bit -= 1;
                let child = tree.children[node][bits >> bit & 1];
                if child & LEAF == 0 {
                    node = child as usize;
                    continue;
                }
                let symbol = (child & !LEAF) as usize;
                if symbol == EOS {
                    step.does = Does::Fails;
                    break;
                }
                step.byte = symbol as u8;
                step.does = Does::Emits;
                node = 0;
            }
            step.next = node as u8;
            steps[state][bits] = step;
            bits += 1;
        }
        state += 1;
    }
    steps
}

/// The nodes where a text may end: at most seven bits, all ones, after the last code.
const fn ends() -> [bool; 256] {
    let tree = tree();
    let mut ends = [false; 256];
    let (mut node, mut depth) = (0usize, 0);
    while depth < 8 {
        ends[node] = true;
        node = tree.children[node][1] as usize;
        depth += 1;
    }
    ends
}

static STEPS: [[Step; 16]; 256] = steps();
static ENDS: [bool; 256] = ends();

/// Appends the text that `code` stands for; false when it stands for none.
#[must_use]
pub(super) fn decode(code: &[u8], out: &mut Vec<u8>) -> bool {
    let mut state = 0u8;
    for &byte in code {
        for bits in [byte >> 4, byte & 15] {
            let step = STEPS[usize::from(state)][usize::from(bits)];
            match step.does {
                Does::Nothing => {}
                Does::Emits => out.push(step.byte),
                Does::Fails => return false,
            }
            state = step.next;
        }
    }
    ENDS[usize::from(state)]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The code of `text`, made bit by bit.
    pub(crate) fn encode(text: &[u8]) -> Vec<u8> {
        let mut codes = [(0u32, 0u8); 256];
        let mut code = 0;
        for length in 5..=EOS_LENGTH {
            for symbol in 0..256 {
                if LENGTHS[symbol] == length {
                    codes[symbol] = (code, length);
                    code += 1;
                }
            }
            code <<= 1;
        }
        let (mut out, mut held, mut bits) = (Vec::new(), 0u64, 0);
        for &byte in text {
            let (code, length) = codes[usize::from(byte)];
            held = held << length | u64::from(code);
            bits += length;
            while bits >= 8 {
                bits -= 8;
                out.push((held >> bits) as u8);
            }
        }
        if bits > 0 {
            out.push((held << (8 - bits)) as u8 | 0xff >> bits);
        }
        out
    }

    #[test]
    fn examples_of_the_standard() {
        // RFC 7541, C.4.1, C.4.2 and C.6.1.
        for (code, text) in [
            (
                &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x64, 0x02], "302"),
            (&[0xae, 0xc3, 0x77, 0x1a, 0x4b], "private"),
            (&[], ""),
        ] {
            let mut out = Vec::new();
            assert!(decode(code, &mut out), "{text}");
            assert_eq!(String::from_utf8(out).unwrap(), text);
            assert_eq!(encode(text.as_bytes()), code);
        }
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        let mut out = Vec::new();
        assert!(decode(&encode(&all), &mut out));
        assert_eq!(out, all);
    }

    #[test]
    fn wrong_ends() {
        // Eight bits of padding, padding with zeros, and the code that stands for no byte.
        for code in [&[0xf4, 0xff, 0xff][..], &[0x00, 0x00], &[0xff, 0xff, 0xff, 0xff]] {
            assert!(!decode(code, &mut Vec::new()), "{code:x?}");
        }
    }
}
