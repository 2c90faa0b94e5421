//! A trace on its way: from a request through outbox, relay and broker to the handler, and to what that sends.
#![allow(clippy::unwrap_used, reason = "a test program")]

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use onceward_backend::{conformance::block_on, sqlite, sqlx::Sqlite};
use onceward_reliable_mq::{
    Broker, Consumer, Envelope, HandlerError, Inbox, MemoryBroker, Message, MessageFilter, Outbox, Relay, RelayOptions,
    Subscription, TraceContext, Tx, testing,
};
use serde_json::Value;
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    /// The traces of the spans of this name; null for one that has none.
    fn traces(&self, span: &str) -> Vec<Value> {
        let lines = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["span"]["name"] == span).map(|line| line["span"]["trace_id"].clone()).collect()
    }
}

#[test]
fn a_trace_goes_from_the_request_to_the_handler_and_on() {
    let log = Log::default();
    tracing_subscriber::fmt().json().with_span_events(FmtSpan::NEW).with_writer(log.clone()).init();
    block_on(async {
        let pool = sqlite::memory().await.unwrap();
        let outbox = Outbox::<Sqlite>::new(pool.clone());
        outbox.migrate().await.unwrap();
        let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
        let subscription = Subscription::new("queue").topic("first");
        broker.subscribe(&subscription).await.unwrap();
        broker.subscribe(&Subscription::new("other").topic("second")).await.unwrap();
        let relay = Relay::new(outbox.store(), Arc::clone(&broker), RelayOptions::default().with_allow_volatile(true));
        let relay = relay.unwrap();
        let store = outbox.store();

        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let request = [("traceparent", parent.as_str()), ("baggage", "user=alice")];
        let traced = Message::to("first").tenant("acme").trace(&TraceContext::read(request));
        store.enqueue(&[traced.clone().text("1").unwrap(), traced.text("2").unwrap()]).await.unwrap();
        testing::drain_due(&relay, 10).await;
        store.enqueue(&[Message::to("first").text("3").unwrap()]).await.unwrap();
        testing::drain_due(&relay, 10).await;
        assert_eq!(log.traces("onceward.reliable_mq.publish"), [Value::from(TRACE), Value::Null]);

        let answers = outbox.clone();
        let handler = move |mut tx: Tx<Sqlite>, message: Envelope| {
            let answers = answers.clone();
            async move {
                let draft = message.tenant().into_iter().fold(Message::to("second"), |draft, name| draft.tenant(name));
                answers.enqueue(&mut tx, &draft.trace(&message.trace()).payload(message.payload().clone())?).await?;
                Ok::<_, HandlerError>(())
            }
        };
        let inbox = Inbox::<Sqlite>::new(pool);
        let consumer = Consumer::new(broker, subscription, inbox, handler);
        assert_eq!(consumer.drain(Duration::from_secs(10)).await.unwrap().first, 3);
        let mut handled = log.traces("onceward.reliable_mq.handle");
        handled.sort_by_key(Value::is_null);
        assert_eq!(handled, [Value::from(TRACE), Value::from(TRACE), Value::Null]);

        let sent = store.messages(&MessageFilter::default().with_topic("second").with_tenant("acme")).await.unwrap();
        assert_eq!(sent.len(), 2);
        let sent = store.message(&sent[0].message_id).await.unwrap().unwrap();
        assert_eq!(sent.trace().headers().collect::<Vec<_>>(), request);
        // A wave of several traces belongs to none.
        testing::drain_due(&relay, 10).await;
        assert_eq!(log.traces("onceward.reliable_mq.publish").last(), Some(&Value::Null));
    });
}
