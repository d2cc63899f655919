use super::*;
use proptest::prelude::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const HEADER_BYTES: usize = 64 * 1024;

fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
    let [_, l0, l1, l2] = u32::try_from(length).unwrap().to_be_bytes();
    let mut bytes = vec![l0, l1, l2, kind, flags, 0, 0, 0, 1];
    bytes.resize(HEAD_BYTES + length, 0);
    bytes
}

fn connected() -> Frames {
    let mut frames = Frames::new(HEADER_BYTES);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    frames.follow(preface, Duration::ZERO).unwrap();
    frames
}

/// How many frames pass, one every `pause`, until one is too many; at most `most`.
fn passed(frame: &[u8], pause: Duration, most: u32) -> (u32, Result<(), Abuse>) {
    let mut frames = connected();
    for number in 0..most {
        let verdict = frames.follow(frame, pause * number);
        if verdict.is_err() {
            return (number, verdict);
        }
    }
    (most, Ok(()))
}

#[test]
fn floods_end_where_the_budget_ends() {
    let chatter = [
        frame(PING, 0, 8),
        frame(SETTINGS, 0, 0),
        frame(PRIORITY, 0, 5),
        frame(WINDOW_UPDATE, 0, 4),
        frame(DATA, 0, 0),
        frame(DATA, 0, 1),
        frame(0xbe, 0, 0),
    ];
    for flood in chatter {
        let ended = passed(&flood, Duration::ZERO, 100_000);
        assert_eq!(ended, (CHATTER.burst, Err(Abuse::Chatter)), "{flood:?}");
    }
    let resets = frame(RST_STREAM, 0, 4);
    let ended = passed(&resets, Duration::ZERO, 100_000);
    assert_eq!(ended, (RESETS.burst, Err(Abuse::Resets)));
}

#[test]
fn paced_floods_end_too_and_what_clients_do_does_not() {
    let resets = frame(RST_STREAM, 0, 4);
    // Ten thousand a second, a hundred a second; and what a busy proxy in front of us may do.
    let (passed_fast, _) = passed(&resets, Duration::from_micros(100), 100_000);
    assert!((100..110).contains(&passed_fast), "{passed_fast}");
    let (passed_slow, verdict) = passed(&resets, Duration::from_millis(10), 100_000);
    assert!((190..210).contains(&passed_slow), "{passed_slow}");
    assert_eq!(verdict, Err(Abuse::Resets));
    let (_, verdict) = passed(&resets, Duration::from_millis(21), 100_000);
    assert_eq!(verdict, Ok(()));
    let (_, verdict) = passed(&frame(PING, 0, 8), Duration::from_millis(11), 100_000);
    assert_eq!(verdict, Ok(()));
}

#[test]
fn a_body_pays_for_its_frames() {
    // As a compressor writes them, and as small as they may be.
    for size in [240, WORTH_A_FRAME, 16_384] {
        let ended = passed(&frame(DATA, 0, size), Duration::ZERO, 100_000);
        assert_eq!(ended, (100_000, Ok(())), "{size}");
    }
    let ended = passed(&frame(DATA, 0, WORTH_A_FRAME - 1), Duration::ZERO, 100_000);
    assert_eq!(ended.1, Err(Abuse::Chatter));
    // The last frame of a stream may be empty, however many streams there are.
    let ended = passed(&frame(DATA, END_STREAM, 0), Duration::ZERO, 100_000);
    assert_eq!(ended.1, Ok(()));

    // A download that is acknowledged twice for every kilobyte.
    let mut frames = connected();
    for _ in 0..100_000 {
        frames.wrote(1024);
        let update = frame(WINDOW_UPDATE, 0, 4);
        frames.follow(&update, Duration::ZERO).unwrap();
        frames.follow(&update, Duration::ZERO).unwrap();
    }
}

#[test]
fn a_header_block_is_bounded_in_frames_and_bytes() {
    let mut frames = connected();
    let most = HEADER_BYTES / FRAME_BYTES + CONTINUATIONS;
    for _ in 0..2 {
        frames
            .follow(&frame(HEADERS, 0, 10), Duration::ZERO)
            .unwrap();
        for _ in 1..most {
            let next = frame(CONTINUATION, 0, FRAME_BYTES);
            frames.follow(&next, Duration::ZERO).unwrap();
            assert!(frames.in_header_block());
        }
        let last = frame(CONTINUATION, END_HEADERS, 1);
        frames.follow(&last, Duration::ZERO).unwrap();
        assert!(!frames.in_header_block());
    }
    frames
        .follow(&frame(HEADERS, 0, 10), Duration::ZERO)
        .unwrap();
    for _ in 0..most {
        let empty = frame(CONTINUATION, 0, 0);
        frames.follow(&empty, Duration::ZERO).unwrap();
    }
    let verdict = frames.follow(&frame(CONTINUATION, END_HEADERS, 0), Duration::ZERO);
    assert_eq!(verdict, Err(Abuse::HeaderBlock), "one frame too many");

    let mut frames = connected();
    let large = frame(HEADERS, 0, BLOCK_SLACK * HEADER_BYTES + 1);
    let verdict = frames.follow(&large, Duration::ZERO);
    assert_eq!(verdict, Err(Abuse::HeaderBlock), "one byte too many");
}

proptest! {
    #[test]
    fn no_bytes_panic_and_a_split_changes_nothing(
        kinds in prop::collection::vec((0u8..12, any::<u8>(), 0usize..300), 0..80),
        piece in 1usize..40,
    ) {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for (kind, flags, length) in kinds {
            bytes.extend(frame(kind, flags, length));
        }
        let mut whole = Frames::new(256);
        let verdict = whole.follow(&bytes, Duration::ZERO);
        let mut cut = Frames::new(256);
        let mut pieces = bytes.chunks(piece);
        let split = pieces.try_for_each(|piece| cut.follow(piece, Duration::ZERO));
        prop_assert_eq!(verdict, split);
        prop_assert_eq!(whole.in_header_block(), cut.in_header_block());
    }
}
