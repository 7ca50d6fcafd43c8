//! The codecs alone.

use std::hint::black_box;
use std::time::Duration;

use aqueduct_benches::{Counting, Meter};
use aqueduct_core::id::Side;
use aqueduct_core::wire::fields::FieldSection;
use aqueduct_core::wire::frame::{self, StreamKind};
use aqueduct_core::wire::frame_reader::{FrameReader, FrameRules};
use aqueduct_core::wire::qpack::{Decoded, Decoder, Encoder};
use aqueduct_core::wire::varint;
use bytes::{Bytes, BytesMut};
use criterion::Criterion;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One of each length.
const NUMBERS: [u64; 4] = [37, 15_293, 494_878_333, 151_288_809_941_952_652];

fn main() {
    let criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    let mut run = Run {
        criterion,
        meter: Meter::default(),
    };
    integers_and_frames(&mut run);
    qpack(&mut run);
    run.meter.report();
}

struct Run {
    criterion: Criterion,
    meter: Meter,
}

impl Run {
    fn row(&mut self, name: &str, mut work: impl FnMut()) {
        let meter = &self.meter;
        self.criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|ops| {
                meter.time(
                    name,
                    ops,
                    &mut work,
                    |_, _| {},
                    |work, n| (0..n).for_each(|_| work()),
                )
            });
        });
    }
}

fn integers_and_frames(run: &mut Run) {
    let mut wire = Vec::new();
    run.row("4 varints written", || {
        wire.clear();
        for number in black_box(NUMBERS) {
            varint::put(&mut wire, number).expect("in range");
        }
    });
    run.row("4 varints read", || {
        let mut rest = black_box(&wire[..]);
        while let Some(number) = varint::take_slice(&mut rest) {
            black_box(number);
        }
    });
    run.row("DATA header written", || {
        black_box(frame::data_header(black_box(16_000)));
    });
    let rules = FrameRules {
        kind: StreamKind::Request,
        receiver: Side::Server,
        max_section: 16_384,
        max_control: 4_096,
    };
    let data = [&frame::data_header(1_000)[..], &[7; 1_000]].concat();
    let (data, mut reader) = (Bytes::from(data), FrameReader::new());
    run.row("DATA frame read", || {
        let mut input = black_box(&data).clone();
        while let Ok(Some(event)) = reader.read(&mut input, &rules) {
            black_box(event);
        }
    });
}

/// What a browser sends.
fn request() -> FieldSection {
    FieldSection::from_iter([
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "www.example.com"),
        (":path", "/assets/app.css?version=17"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0",
        ),
        ("accept", "text/css,*/*;q=0.1"),
        ("accept-language", "en-GB,en;q=0.9"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("referer", "https://www.example.com/"),
        ("cookie", "session=0123456789abcdef0123456789abcdef"),
    ])
}

/// The first request, with the static table alone, and the hundredth, with a
/// dynamic table that knows it.
fn qpack(run: &mut Run) {
    let fields = request();
    for (name, capacity) in [("static", 0), ("dynamic", 4_096)] {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(capacity, 16));
        encoder
            .set_peer_limits(capacity, 16, capacity)
            .expect("the first limits");
        let (mut section, mut stream) = (BytesMut::new(), BytesMut::new());
        let mut turn = |encoder: &mut Encoder, decoder: &mut Decoder| {
            section.clear();
            encoder.encode(0, &fields, &mut section);
            stream.clear();
            encoder.take_output(&mut stream);
            decoder
                .handle_encoder_stream(&stream)
                .expect("instructions");
            let decoded = decoder.decode(0, &section, 65_536).expect("a section");
            assert!(matches!(decoded, Decoded::Section(_)));
            stream.clear();
            decoder.take_output(&mut stream);
            encoder.handle_decoder_stream(&stream).expect("answers");
        };
        for _ in 0..100 {
            turn(&mut encoder, &mut decoder);
        }
        run.row(
            &format!("request encoded and decoded, {name} table"),
            || {
                turn(&mut encoder, &mut decoder);
            },
        );
        let mut section = BytesMut::new();
        encoder.encode(0, &fields, &mut section);
        println!("{} bytes", section.len());
        run.row(&format!("request decoded, {name} table"), || {
            let mut out = BytesMut::new();
            black_box(decoder.decode(0, black_box(&section), 65_536)).expect("a section");
            decoder.take_output(&mut out);
        });
    }
}
