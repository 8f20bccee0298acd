//! What users of streams see.

use super::*;

fn opened(a: &mut Mux, b: &mut Mux, priority: Priority) -> (Key, Key) {
    let key = a.open("x", priority).expect("a name");
    exchange(a, b);
    let accepted = b.accept().expect("it was opened");
    events(b);
    (key, accepted.key)
}

#[test]
fn directions_end_separately_and_leave_nothing_behind() {
    let (mut a, mut b) = pair(SMALL);
    let (here, there) = opened(&mut a, &mut b, Priority::Calls);
    put(&mut a, here, "question");
    a.finish(here).expect("open");
    exchange(&mut a, &mut b);
    assert_eq!(events(&mut b), [Event::Finished(there)]);
    assert_eq!(drain(&mut b, there), (b"question".to_vec(), Read::End));
    put(&mut b, there, "answer");
    exchange(&mut a, &mut b);
    assert_eq!(events(&mut a), [Event::Readable(here)]);
    assert_eq!(drain(&mut a, here), (b"answer".to_vec(), Read::Pending));
    b.finish(there).expect("open");
    exchange(&mut a, &mut b);
    assert_eq!(events(&mut a), [Event::Finished(here)]);
    assert_eq!(a.read(here), Read::End);
    assert_eq!(a.write(here, &mut "x".into()), Err(SendError::Finished));
    release(&mut a, here);
    release(&mut b, there);
    assert_eq!((a.stream_count(), b.stream_count()), (0, 0));
}

#[test]
fn a_writer_waits_for_credit_and_hears_when_there_is_room() {
    let (mut a, mut b) = pair(SMALL);
    let (here, there) = opened(&mut a, &mut b, Priority::Bulk);
    put(&mut a, here, vec![1; 1500]);
    put(&mut a, here, vec![2; 1500]);
    assert_eq!(a.write(here, &mut vec![3; 10].into()), Ok(false));
    exchange(&mut a, &mut b);
    assert_eq!(events(&mut a), [], "2000 bytes are still unsent");
    let (first, _) = drain(&mut b, there);
    assert_eq!(first.len(), 1000, "no more than the window");
    exchange(&mut a, &mut b);
    assert_eq!(events(&mut a), [Event::Writable(here)]);
    put(&mut a, here, vec![3; 10]);
    let mut rest = Vec::new();
    while rest.len() < 2010 {
        rest.extend(drain(&mut b, there).0);
        exchange(&mut a, &mut b);
    }
    let all: Vec<u8> = [vec![1; 500], vec![2; 1500], vec![3; 10]].concat();
    assert_eq!(rest, all);
}

#[test]
fn a_stuffed_stream_does_not_slow_another() {
    let (mut a, mut b) = pair(SMALL);
    let (stuffed, _) = opened(&mut a, &mut b, Priority::Bulk);
    let (quick, there) = opened(&mut a, &mut b, Priority::Bulk);
    a.enqueue(stuffed, vec![0; 100_000].into()).expect("open");
    for round in 0..100_u8 {
        a.enqueue(quick, vec![round; 500].into()).expect("open");
        exchange(&mut a, &mut b);
        assert_eq!(drain(&mut b, there).0, vec![round; 500]);
    }
}

#[test]
fn many_stuffed_streams_wait_together_but_one_item_always_fits() {
    let (mut a, mut b) = pair(SMALL);
    let streams: Vec<_> = (0..4).map(|_| opened(&mut a, &mut b, Priority::Bulk)).collect();
    for (key, _) in &streams[..3] {
        put(&mut a, *key, vec![0; 1900]);
    }
    assert_eq!(a.write(streams[0].0, &mut "x".into()), Ok(false), "5000 are unsent in all");
    put(&mut a, streams[3].0, "the first item of a stream");
    exchange(&mut a, &mut b);
    assert!(events(&mut a).contains(&Event::Writable(streams[0].0)));
}

#[test]
fn windows_grow_for_readers_that_keep_up_and_shrink_back_at_the_end() {
    let (mut a, mut b) = pair(SMALL);
    let (here, there) = opened(&mut a, &mut b, Priority::Bulk);
    a.enqueue(here, vec![0; 100_000].into()).expect("open");
    let mut most = 0;
    loop {
        exchange(&mut a, &mut b);
        let (bytes, _) = drain(&mut b, there);
        if bytes.is_empty() {
            break;
        }
        most = most.max(bytes.len());
    }
    assert_eq!(most, 4000);
    assert_eq!(b.grown, 3000);
    release(&mut a, here);
    release(&mut b, there);
    exchange(&mut a, &mut b);
    assert_eq!((b.grown, b.stream_count()), (0, 0));
}

#[test]
fn too_many_unread_bytes_cost_the_fullest_stream_only() {
    let config = Config { max_streams: 20, max_unread: 2500, ..SMALL };
    let (mut a, mut b) = pair(config);
    let streams: Vec<_> = (0..4).map(|_| opened(&mut a, &mut b, Priority::Bulk)).collect();
    for ((key, _), length) in streams.iter().zip([600, 1000, 600, 600]) {
        put(&mut a, *key, vec![0; length]);
    }
    exchange(&mut a, &mut b);
    for ((here, there), expected) in streams.into_iter().zip([600, 0, 600, 600]) {
        let (bytes, end) = drain(&mut b, there);
        assert_eq!(bytes.len(), expected);
        let overloaded = matches!(end, Read::Reset(Reason { code: code::OVERLOADED, .. }));
        assert_eq!(overloaded, expected == 0);
        assert_eq!(a.stopped(here).is_some(), expected == 0);
    }
}

#[test]
fn a_reset_travels_and_unread_bytes_are_forgotten() {
    let (mut a, mut b) = pair(SMALL);
    let (here, there) = opened(&mut a, &mut b, Priority::Bulk);
    put(&mut a, here, vec![0; 1500]);
    exchange(&mut a, &mut b);
    events(&mut b);
    a.reset(here, 300, "enough");
    exchange(&mut a, &mut b);
    assert_eq!(events(&mut b), [Event::Reset(there)]);
    let reason = Reason { code: 300, text: "enough".to_owned() };
    assert_eq!(b.read(there), Read::Reset(reason));
    assert_eq!((a.unsent, b.unread), (0, 0));
    // The other direction goes on.
    put(&mut b, there, "still here");
    exchange(&mut a, &mut b);
    assert_eq!(drain(&mut a, here).0, b"still here");
}

#[test]
fn a_dropped_stream_is_reset_and_freed_on_both_sides() {
    let (mut a, mut b) = pair(SMALL);
    let (here, there) = opened(&mut a, &mut b, Priority::Bulk);
    release(&mut a, here);
    exchange(&mut a, &mut b);
    assert_eq!(a.stream_count(), 0);
    assert_eq!(b.stopped(there).map(|reason| reason.code), Some(code::CANCELLED));
    assert!(matches!(b.read(there), Read::Reset(_)));
    release(&mut b, there);
    assert_eq!(b.stream_count(), 0);
}

#[test]
fn data_that_crosses_a_stop_is_ignored() {
    let (mut a, mut b) = pair(SMALL);
    let (here, there) = opened(&mut a, &mut b, Priority::Bulk);
    put(&mut a, here, "crossing");
    let crossing = output(&mut a);
    b.stop(there, 1, "");
    let stop = output(&mut b);
    input(&mut b, &crossing).expect("it could not know");
    input(&mut a, &stop).expect("a stop");
    assert_eq!(
        a.write(here, &mut "x".into()),
        Err(SendError::Stopped(Reason { code: 1, text: String::new() }))
    );
    put(&mut b, there, "the other direction");
    exchange(&mut a, &mut b);
    assert_eq!(drain(&mut a, here).0, b"the other direction");
    assert_eq!(b.read(there), Read::Stopped);
}

#[test]
fn a_stream_given_up_before_it_was_sent_is_never_sent() {
    let (mut a, _) = pair(SMALL);
    let key = a.open("x", Priority::Calls).expect("a name");
    a.enqueue(key, "question".into()).expect("open");
    release(&mut a, key);
    assert_eq!(output(&mut a), b"");
    assert_eq!((a.stream_count(), a.unsent), (0, 0));
}

#[test]
fn streams_beyond_the_limit_wait_here() {
    let (mut a, mut b) = pair(SMALL);
    let keys: Vec<_> = (0..6).filter_map(|_| a.open("x", Priority::Calls)).collect();
    for key in &keys {
        a.finish(*key).expect("open");
    }
    exchange(&mut a, &mut b);
    let there: Vec<_> = std::iter::from_fn(|| b.accept()).map(|accepted| accepted.key).collect();
    assert_eq!(there.len(), 4);
    assert!(!a.was_sent(keys[4]));
    a.reset(keys[5], code::CANCELLED, "given up");
    release(&mut a, keys[5]);
    for key in there {
        b.finish(key).expect("open");
        release(&mut b, key);
    }
    exchange(&mut a, &mut b);
    assert!(a.was_sent(keys[4]));
    assert!(b.accept().is_some());
    assert!(b.accept().is_none(), "one was given up while it waited");
    assert!(a.refusals.is_empty() && b.refusals.is_empty());
}

/// A side with as many streams as the peer allows, and their keys on both sides.
fn full() -> (Mux, Mux, Vec<(Key, Key)>) {
    let (mut a, mut b) = pair(SMALL);
    let streams = (0..SMALL.max_streams).map(|_| opened(&mut a, &mut b, Priority::Calls)).collect();
    (a, b, streams)
}

/// Ends a stream for both sides; nothing else is sent yet.
fn end(a: &mut Mux, b: &mut Mux, (here, there): (Key, Key)) {
    a.give_up(here, code::CANCELLED, "over");
    let only_this = output_at(a, Duration::ZERO, 1);
    input(b, &only_this).expect("a keeps to the protocol");
    release(b, there);
}

#[test]
fn a_stream_that_has_waited_goes_before_newer_ones() {
    let (mut a, mut b, streams) = full();
    let old = a.open("x", Priority::Bulk).expect("a name");
    exchange(&mut a, &mut b);
    end(&mut a, &mut b, streams[0]);
    let new = a.open("x", Priority::Control).expect("a name");
    exchange(&mut a, &mut b);
    assert!(a.was_sent(old));
    assert!(!a.was_sent(new));
    end(&mut a, &mut b, streams[1]);
    exchange(&mut a, &mut b);
    assert!(a.was_sent(new));
}

#[test]
fn a_place_that_is_not_taken_goes_to_the_next_one() {
    let (mut a, mut b, streams) = full();
    let [first, second] = [(); 2].map(|()| a.open("x", Priority::Calls).expect("a name"));
    exchange(&mut a, &mut b);
    end(&mut a, &mut b, streams[0]);
    a.give_up(first, code::CANCELLED, "given up before its turn");
    exchange(&mut a, &mut b);
    assert!(a.was_sent(second));
    assert_eq!(a.promised, 0);
}

#[test]
fn no_priority_waits_for_ever() {
    let (mut a, mut b, mut streams) = full();
    let bulk = a.open("x", Priority::Bulk).expect("a name");
    for _ in 0..20 {
        a.open("x", Priority::Calls).expect("a name");
        exchange(&mut a, &mut b);
        end(&mut a, &mut b, streams.remove(0));
        exchange(&mut a, &mut b);
        if a.was_sent(bulk) {
            return;
        }
        a.open("x", Priority::Calls).expect("a name");
        let there = b.accept().expect("one that has waited").key;
        let number = b.streams[there.index()].id;
        streams.push((a.by_number[&number], there));
    }
    panic!("only newer ones of a higher priority were opened");
}

#[test]
fn a_small_call_overtakes_bulk_and_the_rest_of_a_long_call() {
    let (mut a, mut b) = pair(Config::default());
    let (bulk, _) = opened(&mut a, &mut b, Priority::Bulk);
    let (long, _) = opened(&mut a, &mut b, Priority::Calls);
    a.enqueue(bulk, vec![0; 250_000].into()).expect("open");
    a.enqueue(long, vec![0; 250_000].into()).expect("open");
    // The long call starts like any call and then takes turns with the bulk.
    assert_eq!(output_at(&mut a, secs(0), 1)[9], 3);
    assert_eq!(output_at(&mut a, secs(0), 1)[9], 3);
    assert_eq!(output_at(&mut a, secs(0), 1)[9], 1);
    let short = a.open("x", Priority::Calls).expect("a name");
    a.enqueue(short, "hi".into()).expect("open");
    let frame = output_at(&mut a, secs(0), 1);
    assert_eq!((frame.len(), frame[4], frame[9]), (14, 1, 5));
    assert_eq!(output_at(&mut a, secs(0), 1)[9], 3);
    assert_eq!(output_at(&mut a, secs(0), 1)[9], 1);
}

#[test]
fn numbers_go_around_while_an_old_stream_lives() {
    let (mut a, mut b) = pair(SMALL);
    a.ours = Numbers::starting_at(u32::MAX - 2);
    b.theirs = a.ours;
    let (old, there) = opened(&mut a, &mut b, Priority::Events);
    for _ in 0..10 {
        let (here, there) = opened(&mut a, &mut b, Priority::Calls);
        release(&mut a, here);
        release(&mut b, there);
        exchange(&mut a, &mut b);
    }
    a.ours = Numbers::starting_at(u32::MAX - 2);
    b.theirs = a.ours;
    let (_, _) = opened(&mut a, &mut b, Priority::Calls);
    put(&mut a, old, "as ever");
    exchange(&mut a, &mut b);
    assert_eq!(drain(&mut b, there).0, b"as ever");
}

#[test]
fn a_silent_peer_is_dead() {
    let mut mux = Mux::new(Side::Dialer, Config::default());
    output(&mut mux);
    mux.tick(secs(14));
    assert_eq!(events(&mut mux), []);
    assert_eq!(mux.deadline(), Some(secs(15)));
    mux.tick(secs(15));
    assert_eq!(events(&mut mux), [Event::Dead]);
    assert_eq!(mux.deadline(), None);
}

#[test]
fn answered_pings_keep_a_link_alive_and_measure_it() {
    let (mut a, mut b) =
        (Mux::new(Side::Dialer, Config::default()), Mux::new(Side::Listener, Config::default()));
    for second in 0..100 {
        let now = secs(second);
        for _ in 0..2 {
            let there = output_at(&mut a, now, 1000);
            b.receive(now, &mut BytesMut::from(&there[..])).expect("valid");
            let back = output_at(&mut b, now, 1000);
            a.receive(now + secs(1), &mut BytesMut::from(&back[..])).expect("valid");
        }
        a.tick(now);
        b.tick(now);
    }
    assert_eq!((events(&mut a), events(&mut b)), (vec![], vec![]));
    assert_eq!(a.rtt(), Some(secs(1)));
}
