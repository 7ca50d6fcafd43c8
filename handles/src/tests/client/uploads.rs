//! Many uploads over a thin line.

use super::*;

/// Bytes that the line takes in a second: 1 Mbit/s.
const RATE: u64 = 125_000;
/// Bytes that wait before it; what comes beyond them is lost.
const QUEUE: usize = 32 * 1024;
/// Time between two looks at it.
const STEP: Duration = Duration::from_millis(4);

/// What the client has sent and the line has not taken.
#[derive(Default)]
struct Line {
    queue: VecDeque<Vec<u8>>,
    waiting: usize,
    credit: u64,
}

impl Line {
    fn pass(&mut self, net: &mut Net) {
        skip(STEP);
        let [(client, wire), (server, theirs)] = &mut net.ends;
        client.turn(now(), wire).expect("no errors here");
        let sent = std::mem::take(&mut *theirs.inbox.lock().expect("no panic"));
        for datagram in sent {
            if self.waiting + datagram.len() <= QUEUE {
                self.waiting += datagram.len();
                self.queue.push_back(datagram);
            }
        }
        self.credit += RATE * STEP.as_millis() as u64 / 1000;
        while let Some(next) = self.queue.front()
            && next.len() as u64 <= self.credit
        {
            self.credit -= next.len() as u64;
            self.waiting -= next.len();
            let mut inbox = theirs.inbox.lock().expect("no panic");
            inbox.extend(self.queue.pop_front());
        }
        if self.queue.is_empty() {
            self.credit = 0;
        }
        server.turn(now(), theirs).expect("no errors here");
    }
}

/// Row D5: a server that reads what comes is not late, however many uploads share the
/// line and whichever of them the client's scheduler runs first.
#[test]
fn forty_uploads_over_a_thin_line_all_end() {
    const SIZE: usize = 256 * 1024;
    freeze();
    let tls = ClientBuilder::with_tls(Identity::localhost().client_arc());
    let mut lab = Lab::with(tls);
    let server = lab.net.server.clone();
    let tasks = lab.tasks.clone();
    lab.tasks.spawn(Box::pin(async move {
        let theirs = server.accept().await.expect("arrives");
        while let Some((_, mut request)) = theirs.accept_request().await {
            tasks.spawn(Box::pin(async move {
                while let Ok(Some(_)) = request.recv.recv_data().await {}
                // Of one that was given up, the client tells.
                let _ = request.send.send_empty(Response::new(()));
            }));
        }
    }));
    let uploads: Vec<_> = (0..40)
        .map(|_| lab.post(Body::from(vec![7; SIZE])))
        .collect();
    let mut line = Line::default();
    let mut answers = Vec::new();
    for _ in 0..60_000 {
        lab.poll_tasks(&mut Context::from_waker(Waker::noop()));
        line.pass(&mut lab.net);
        answers.extend(uploads.iter().filter_map(Later::take));
        if answers.len() == 40 {
            break;
        }
    }
    assert_eq!(answers.len(), 40, "all end");
    for answer in answers {
        assert_eq!(answer.expect("taken").status(), 200);
    }
}
