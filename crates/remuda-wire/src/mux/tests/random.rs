//! Any sequence of operations on two sides: bytes arrive in order, limits hold, nothing is left.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Open { side: bool, priority: usize },
    Write { side: bool, stream: usize, length: usize },
    Finish { side: bool, stream: usize },
    Read { side: bool, stream: usize },
    Reset { side: bool, stream: usize },
    Stop { side: bool, stream: usize },
    Transmit { side: bool, limit: usize },
    Deliver { side: bool, length: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let (side, stream) = (any::<bool>(), 0..6_usize);
    let at = || (side, stream.clone());
    prop_oneof![
        2 => (side, 0..4_usize).prop_map(|(side, priority)| Op::Open { side, priority }),
        6 => (at(), 1..1500_usize)
            .prop_map(|((side, stream), length)| Op::Write { side, stream, length }),
        1 => at().prop_map(|(side, stream)| Op::Finish { side, stream }),
        6 => at().prop_map(|(side, stream)| Op::Read { side, stream }),
        1 => at().prop_map(|(side, stream)| Op::Reset { side, stream }),
        1 => at().prop_map(|(side, stream)| Op::Stop { side, stream }),
        6 => (side, 1..4000_usize).prop_map(|(side, limit)| Op::Transmit { side, limit }),
        6 => (side, 1..4000_usize).prop_map(|(side, length)| Op::Deliver { side, length }),
    ]
}

/// What was written to one direction and what was read from it.
#[derive(Default)]
struct Flow {
    written: Vec<u8>,
    read: usize,
    finished: bool,
    /// Reset or stopped by somebody: the end is open.
    broken: bool,
}

struct Side2 {
    mux: Mux,
    /// Streams as this side knows them, each with its number in `flows`.
    streams: Vec<(Key, usize, bool)>,
    /// On their way to the other side.
    pipe: BytesMut,
    /// What has come and is no whole frame yet.
    partial: BytesMut,
}

struct World {
    sides: [Side2; 2],
    /// By stream: from its opener, and to it.
    flows: BTreeMap<usize, [Flow; 2]>,
}

impl World {
    fn new() -> Self {
        let side = |side| Side2 {
            mux: Mux::new(side, SMALL),
            streams: Vec::new(),
            pipe: BytesMut::new(),
            partial: BytesMut::new(),
        };
        Self { sides: [side(Side::Dialer), side(Side::Listener)], flows: BTreeMap::new() }
    }

    fn pick(&self, side: bool, stream: usize) -> Option<(Key, usize, bool)> {
        let streams = &self.sides[usize::from(side)].streams;
        (!streams.is_empty()).then(|| streams[stream % streams.len()])
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Open { side, priority } => {
                let number = self.flows.len();
                let side = &mut self.sides[usize::from(side)];
                let key = side.mux.open(&number.to_string(), Priority::ALL[priority]);
                side.streams.push((key.expect("a name"), number, true));
                self.flows.insert(number, Default::default());
            }
            Op::Write { side, stream, length } => {
                let Some((key, number, ours)) = self.pick(side, stream) else { return };
                let flow = &mut self.flows.get_mut(&number).expect("known")[usize::from(!ours)];
                let start = flow.written.len();
                let bytes: Vec<u8> = (start..start + length).map(pattern).collect();
                let mux = &mut self.sides[usize::from(side)].mux;
                if mux.write(key, &mut Bytes::from(bytes.clone())) == Ok(true) {
                    assert!(!flow.finished);
                    flow.written.extend(bytes);
                }
            }
            Op::Finish { side, stream } => {
                let Some((key, number, ours)) = self.pick(side, stream) else { return };
                if self.sides[usize::from(side)].mux.finish(key).is_ok() {
                    self.flows.get_mut(&number).expect("known")[usize::from(!ours)].finished = true;
                }
            }
            Op::Read { side, stream } => {
                let Some((key, number, ours)) = self.pick(side, stream) else { return };
                self.read(side, key, number, ours);
            }
            Op::Reset { side, stream } => {
                let Some((key, number, ours)) = self.pick(side, stream) else { return };
                self.sides[usize::from(side)].mux.reset(key, 300, "reset");
                let flows = self.flows.get_mut(&number).expect("known");
                flows[usize::from(!ours)].broken = true;
                // A stream that the peer never hears of has no other direction either.
                flows[usize::from(ours)].broken = true;
            }
            Op::Stop { side, stream } => {
                let Some((key, number, ours)) = self.pick(side, stream) else { return };
                self.sides[usize::from(side)].mux.stop(key, 301, "stop");
                self.flows.get_mut(&number).expect("known")[usize::from(ours)].broken = true;
            }
            Op::Transmit { side, limit } => {
                let side = &mut self.sides[usize::from(side)];
                side.pipe.extend_from_slice(&output_at(&mut side.mux, Duration::ZERO, limit));
            }
            Op::Deliver { side, length } => self.deliver(side, length),
        }
    }

    fn deliver(&mut self, from: bool, length: usize) {
        let sender = &mut self.sides[usize::from(from)];
        let bytes = sender.pipe.split_to(length.min(sender.pipe.len()));
        let receiver = &mut self.sides[usize::from(!from)];
        receiver.partial.extend_from_slice(&bytes);
        receiver.mux.receive(Duration::ZERO, &mut receiver.partial).expect("both are honest");
        while let Some(accepted) = receiver.mux.accept() {
            let number = accepted.protocol.parse().expect("a number");
            receiver.streams.push((accepted.key, number, false));
        }
        assert!(receiver.mux.unread <= SMALL.max_unread);
        assert!(receiver.mux.opened_there <= SMALL.max_streams);
        while let Some(event) = receiver.mux.poll_event() {
            if let Event::Reset(key) = event {
                // Too many unread bytes, or a reset of the other side.
                let find = receiver.streams.iter().find(|stream| stream.0 == key);
                let Some((_, number, _)) = find else { continue };
                for flow in self.flows.get_mut(number).expect("known") {
                    flow.broken = true;
                }
            }
        }
    }

    fn read(&mut self, side: bool, key: Key, number: usize, ours: bool) -> bool {
        let (bytes, end) = drain(&mut self.sides[usize::from(side)].mux, key);
        let flow = &mut self.flows.get_mut(&number).expect("known")[usize::from(ours)];
        assert!(flow.read + bytes.len() <= flow.written.len(), "more was read than written");
        for byte in &bytes {
            assert_eq!(*byte, flow.written[flow.read], "bytes are out of order");
            flow.read += 1;
        }
        match end {
            Read::End => {
                let whole = flow.finished && flow.read == flow.written.len();
                assert!(whole || flow.broken, "an end before the end");
            }
            Read::Reset(_) | Read::Stopped => assert!(flow.broken, "an end that nobody made"),
            Read::Pending | Read::Chunk { .. } => (),
        }
        !bytes.is_empty()
    }

    /// Lets everything arrive.
    fn calm(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            for side in [false, true] {
                self.run(Op::Transmit { side, limit: usize::MAX });
                busy |= !self.sides[usize::from(side)].pipe.is_empty();
                self.deliver(side, usize::MAX);
                for (key, number, ours) in self.sides[usize::from(side)].streams.clone() {
                    busy |= self.read(side, key, number, ours);
                }
            }
        }
    }

    fn release_all(&mut self) {
        for side in &mut self.sides {
            for (key, ..) in side.streams.drain(..) {
                release(&mut side.mux, key);
            }
        }
    }
}

fn pattern(position: usize) -> u8 {
    u8::try_from(position * 31 % 251).expect("below 251")
}

proptest! {
    #[test]
    fn bytes_arrive_in_order_and_nothing_is_left(ops in prop::collection::vec(op(), 0..150)) {
        let mut world = World::new();
        for op in ops {
            world.run(op);
        }
        world.calm();
        let waiting = world.sides.iter().any(|side| !side.mux.waiting.is_empty());
        for (number, flows) in &world.flows {
            for flow in flows {
                let whole = flow.read == flow.written.len();
                prop_assert!(whole || flow.broken || waiting, "stream {} is cut", number);
            }
        }
        world.release_all();
        while world.sides.iter().any(|side| side.mux.has_output()) {
            world.calm();
            world.release_all();
        }
        for side in &world.sides {
            let mux = &side.mux;
            prop_assert_eq!(mux.stream_count(), 0);
            prop_assert_eq!(mux.by_number.len(), 0);
            prop_assert_eq!((mux.opened_here, mux.opened_there), (0, 0));
            prop_assert_eq!((mux.unread, mux.unsent, mux.grown), (0, 0, 0));
        }
    }
}
