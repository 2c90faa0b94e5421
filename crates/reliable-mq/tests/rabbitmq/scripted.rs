//! A peer that speaks AMQP 0-9-1 as a test tells it to: what a real server does once in some thousand windows, each time.
//!
//! The client library hands a returned message to whichever confirm of the channel completes next, and those of one `multiple` in
//! no order. So what one confirm says of its own message is wrong now and then, and only a whole window is right.

use std::time::Duration;

use onceward_backend::conformance::block_on;
use onceward_reliable_mq::{Broker, Envelope, Message, MessageId, Outcome, RabbitMqBroker, RabbitMqOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What it says once a window has come. Messages are numbered from 1, as delivery tags are.
#[derive(Debug, Clone, Copy)]
enum Say {
    Return(usize),
    Ack(u64),
    AckUpTo(u64),
    NackUpTo(u64),
}

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;

/// Of a class and method, and the arguments behind them.
type Method = (u16, u16, Vec<u8>);

struct Peer(TcpStream);

impl Peer {
    async fn send(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let mut frame = vec![kind];
        frame.extend(channel.to_be_bytes());
        frame.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        frame.extend(payload);
        frame.push(0xce);
        self.0.write_all(&frame).await.unwrap();
    }

    async fn say(&mut self, channel: u16, (class, method, args): Method) {
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), &args].concat();
        self.send(METHOD, channel, &payload).await;
    }

    /// The next frame; none once the client has gone.
    async fn hear(&mut self) -> Option<(u8, u16, Vec<u8>)> {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).await.ok()?;
        let size = u32::from_be_bytes(head[3..].try_into().unwrap()) as usize;
        let mut payload = vec![0; size + 1];
        self.0.read_exact(&mut payload).await.ok()?;
        assert_eq!(payload.pop(), Some(0xce), "the end of a frame");
        Some((head[0], u16::from_be_bytes([head[1], head[2]]), payload))
    }

    /// Serves one connection: says yes to everything, and the script once so many messages have come.
    async fn serve(mut self, window: usize, script: &[Say]) -> Option<()> {
        let mut greeting = [0; 8];
        self.0.read_exact(&mut greeting).await.ok()?;
        let start = [&[0, 9, 0, 0, 0, 0][..], &long(b"PLAIN"), &long(b"en_US")].concat();
        self.say(0, (10, 10, start)).await;
        // Header and body of each message as they came.
        let mut messages: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        loop {
            let (kind, channel, payload) = self.hear().await?;
            match kind {
                HEADER => messages.push((payload, Vec::new())),
                BODY => messages.last_mut().unwrap().1.extend(payload),
                METHOD => self.answer(channel, &payload).await,
                _ => {}
            }
            if messages.len() == window && messages.last().is_some_and(|(header, body)| body.len() == size(header)) {
                for say in script {
                    self.act(channel, *say, &messages).await;
                }
                messages.clear();
            }
        }
    }

    async fn answer(&mut self, channel: u16, payload: &[u8]) {
        let number = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
        let (class, method) = (number(0), number(2));
        let answer = match (class, method) {
            // Tune: channels, bytes of a frame, no heartbeat.
            (10, 11) => (10, 30, vec![0x07, 0xff, 0, 2, 0, 0, 0, 0]),
            (10, 40) => (10, 41, vec![0]),
            (20, 10) => (20, 11, vec![0; 4]),
            // What has no arguments in its answer: confirms, exchanges, the ends of channels and of the connection.
            (85, 10) | (40, 10) | (20, 40) | (10, 50) => (class, method + 1, Vec::new()),
            // Published, or an answer itself.
            _ => return,
        };
        self.say(channel, answer).await;
    }

    async fn act(&mut self, channel: u16, say: Say, messages: &[(Vec<u8>, Vec<u8>)]) {
        let tagged = |tag: u64, last: &[u8]| [&tag.to_be_bytes()[..], last].concat();
        match say {
            Say::Return(number) => {
                let args =
                    [&312_u16.to_be_bytes()[..], &short(b"NO_ROUTE"), &short(b"onceward"), &short(b"topic")].concat();
                self.say(channel, (60, 50, args)).await;
                let (header, body) = &messages[number - 1];
                self.send(HEADER, channel, header).await;
                self.send(BODY, channel, body).await;
            }
            Say::Ack(tag) => self.say(channel, (60, 80, tagged(tag, &[0]))).await,
            Say::AckUpTo(tag) => self.say(channel, (60, 80, tagged(tag, &[1]))).await,
            Say::NackUpTo(tag) => self.say(channel, (60, 120, tagged(tag, &[1]))).await,
        }
    }
}

/// The bytes of a message, from its header.
fn size(header: &[u8]) -> usize {
    usize::try_from(u64::from_be_bytes(header[4..12].try_into().unwrap())).unwrap()
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn long(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat()
}

const WINDOW: usize = 8;

/// The outcomes of a window of eight, as letters.
async fn outcomes(script: &'static [Say]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://guest:guest@{}/%2f", listener.local_addr().unwrap());
    let mut peers = JoinSet::new();
    peers.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(async move { Peer(stream).serve(WINDOW, script).await });
        }
    });
    let options = RabbitMqOptions::default().with_confirm_timeout(Duration::from_millis(500));
    let broker = RabbitMqBroker::new(&url, options).unwrap();
    let message = |n: usize| Message::to("topic").text(n.to_string()).unwrap();
    let envelope = |n: usize| Envelope::new(MessageId::parse(n.to_string()).unwrap(), message(n), 1);
    let batch: Vec<_> = (1..=WINDOW).map(envelope).collect();
    let letter = |outcome: &Outcome| match outcome {
        Outcome::Accepted => 'A',
        Outcome::Unroutable => 'r',
        Outcome::Rejected { permanent: false, .. } => 'n',
        Outcome::Rejected { .. } => 'N',
        Outcome::Unknown { .. } => '?',
    };
    broker.publish(&batch).await.iter().map(letter).collect()
}

/// Two returns, and then one acknowledgement for all: which of the eight confirms carry them is a matter of luck.
#[test]
fn returns_in_front_of_one_acknowledgement_for_all_are_told_of_the_right_messages() {
    block_on(async {
        for _ in 0..20 {
            let came = outcomes(&[Say::Return(3), Say::Return(7), Say::AckUpTo(8)]).await;
            assert_eq!(came, "AArAAArA");
        }
    });
}

#[test]
fn returns_among_acknowledgements_out_of_order_are_told_of_the_right_messages() {
    block_on(async {
        let came =
            outcomes(&[Say::Ack(8), Say::Return(2), Say::Ack(5), Say::Return(1), Say::Return(6), Say::AckUpTo(7)]);
        assert_eq!(came.await, "rrAAArAA");
    });
}

#[test]
fn returns_in_front_of_a_refusal_of_all_are_told_of_the_right_messages() {
    block_on(async {
        assert_eq!(outcomes(&[Say::Return(4), Say::AckUpTo(2), Say::NackUpTo(8)]).await, "AAnrnnnn");
    });
}

#[test]
fn nothing_of_a_window_is_believed_while_one_message_of_it_is_not_answered() {
    block_on(async {
        assert_eq!(outcomes(&[Say::Return(3), Say::AckUpTo(7)]).await, "??r?????");
    });
}
