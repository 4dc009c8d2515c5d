//! The recorded datagrams of `testdata/netlink`, for tests.

/// A command and the datagrams that were recorded while it ran.
pub(crate) struct Capture {
    pub(crate) command: &'static str,
    pub(crate) datagrams: Vec<Vec<u8>>,
}

/// Reads a file of `testdata/netlink`.
pub(crate) fn captures(text: &'static str) -> Vec<Capture> {
    let blocks = text.split("$ ").filter(|block| !block.is_empty());
    let captures: Vec<_> = blocks
        .map(|block| {
            let (command, hex) = block.split_once('\n').unwrap();
            let datagrams = hex.split("\n\n").map(bytes).filter(|datagram| !datagram.is_empty()).collect();
            Capture { command, datagrams }
        })
        .collect();
    assert!(!captures.is_empty());
    captures
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}
