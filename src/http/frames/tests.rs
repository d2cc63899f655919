use super::*;
use proptest::prelude::*;

const PRIORITY: u8 = 2;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
    let [_, l0, l1, l2] = u32::try_from(length).unwrap().to_be_bytes();
    let mut bytes = vec![l0, l1, l2, kind, flags, 0, 0, 0, 1];
    bytes.resize(bytes.len() + length, 0);
    bytes
}

fn connected() -> Frames {
    let mut frames = Frames::default();
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
    let update = frame(WINDOW_UPDATE, 0, 4);
    // (bytes of each frame that we send, how many frames the client answers each with)
    let answered = [(16_384, 256), (1024, 16), (128, 2), (64, 2), (1, 2)];
    for (length, answers) in answered {
        let mut frames = connected();
        for _ in 0..10_000 {
            frames.sent_body(length);
            for _ in 0..answers {
                frames.follow(&update, Duration::ZERO).unwrap();
            }
        }
        // All that was earned is used up.
        let (more, verdict) = until_refused(&mut frames, &update);
        assert_eq!((more, verdict), (CHATTER.burst, Abuse::Chatter), "{length}");
    }
}

#[test]
fn what_a_body_has_earned_does_not_expire() {
    let mut frames = connected();
    let window = 4 << 20;
    for _ in 0..window / 16_384 {
        frames.sent_body(16_384);
    }
    // For the stream and for the connection, for every 4 KiB that were read, all at once.
    for _ in 0..2 * window / 4096 {
        let update = frame(WINDOW_UPDATE, 0, 4);
        frames.follow(&update, Duration::from_secs(3600)).unwrap();
    }
}

#[test]
fn an_upload_pays_for_its_frames_and_what_is_asked_on_its_way() {
    // As a compressor writes them, and as small as they may be.
    for size in [16_384, 240, 64] {
        let ended = passed(&frame(DATA, 0, size), Duration::ZERO, 100_000);
        assert_eq!(ended, (100_000, Ok(())), "{size}");
    }
    let ended = passed(&frame(DATA, 0, 63), Duration::ZERO, 100_000);
    assert_eq!(ended.1, Err(Abuse::Chatter));
    // The last frame of a stream may be empty, however many streams there are.
    let ended = passed(&frame(DATA, END_STREAM, 0), Duration::ZERO, 100_000);
    assert_eq!(ended.1, Ok(()));

    let pinged = [frame(DATA, 0, 128), frame(PING, 0, 8)].concat();
    let ended = passed(&pinged, Duration::ZERO, 100_000);
    assert_eq!(ended, (100_000, Ok(())));
}

#[test]
fn a_header_block_is_followed_to_its_end() {
    let mut frames = connected();
    let mut follow = |kind, flags, length| {
        let bytes = frame(kind, flags, length);
        frames.follow(&bytes, Duration::ZERO).unwrap();
        (frames.in_header_block(), frames.last_stream())
    };
    assert_eq!(follow(PING, 0, 8), (false, 0));
    assert_eq!(follow(HEADERS, 0, 10), (true, 1));
    assert_eq!(follow(CONTINUATION, 0, 10), (true, 1));
    assert_eq!(follow(CONTINUATION, END_HEADERS, 0), (false, 1));
    assert_eq!(follow(HEADERS, END_HEADERS, 10), (false, 1));
}

/// How many of these frames pass before one is too many.
fn until_refused(frames: &mut Frames, frame: &[u8]) -> (u32, Abuse) {
    let mut passed = 0;
    loop {
        match frames.follow(frame, Duration::ZERO) {
            Ok(()) => passed += 1,
            Err(abuse) => return (passed, abuse),
        }
    }
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
        let mut whole = Frames::default();
        let verdict = whole.follow(&bytes, Duration::ZERO);
        let mut cut = Frames::default();
        let mut pieces = bytes.chunks(piece);
        let split = pieces.try_for_each(|piece| cut.follow(piece, Duration::ZERO));
        prop_assert_eq!(verdict, split);
        prop_assert_eq!(whole.in_header_block(), cut.in_header_block());
    }
}
