//! What another member says on a connection that many requests share.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shardlet::fuzzing::read_of_each;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, said) = input;
    let whole = read_of_each(said, said.len().max(1));
    let pieces = read_of_each(said, usize::from(piece).max(1));
    assert_eq!(whole, pieces);
    let read: usize = whole.iter().flatten().map(Vec::len).sum();
    assert!(read <= said.len());
});
