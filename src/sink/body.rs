//! Reading a body within its limits, and getting rid of one that is not wanted.

use std::time::Duration;

use axum::body::Body;
use axum::body::HttpBody;
use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use bytes::Bytes;
use bytes::BytesMut;
use http_body_util::BodyExt;
use tokio::sync::SemaphorePermit;

use super::Sink;
use super::answer::Refusal;

/// Bytes that one permit of the memory budget stands for.
pub(super) const UNIT: usize = 1024;

/// Most bytes of a refused request that are read off, and time for it: a sender that is still sending sees the answer
/// only if somebody reads.
const LEFTOVER_BYTES: usize = 4 * 1024 * 1024;
const LEFTOVER_TIME: Duration = Duration::from_secs(2);
/// Refused requests that are read off at a time; beyond that the connection is closed.
const LEFTOVER_TASKS: usize = 64;

/// Permits for that many bytes.
pub(super) fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT)
}

/// A body, with the memory that it was granted.
pub(super) struct Received<'a> {
    pub(super) bytes: Bytes,
    _memory: Option<SemaphorePermit<'a>>,
}

impl Sink {
    /// Reads a body. Whatever is not read, because it is too much or comes too late, is given up in the background.
    pub(super) async fn read(&self, headers: &HeaderMap, mut body: Body) -> Result<Received<'_>, Refusal> {
        let limit = self.inner.options.max_event_bytes;
        // What `Content-Length` says. A client that asks first (`Expect: 100-continue`) then sends nothing at all.
        let announced = body.size_hint().lower();
        let result = if usize::try_from(announced).map_or(true, |announced| announced > limit) {
            Err(Refusal::TooLarge { limit })
        } else {
            let reading = self.collect(&mut body, limit);
            tokio::time::timeout(self.inner.options.body_timeout, reading)
                .await
                .unwrap_or_else(|_| Err(Refusal::Unavailable("the body did not arrive in time".to_owned())))
        };
        if result.is_err() {
            self.read_off(headers, body);
        }
        result
    }

    /// Collects at most `limit` bytes; memory is granted as they arrive, so that slow senders hold little of it.
    async fn collect(&self, body: &mut Body, limit: usize) -> Result<Received<'_>, Refusal> {
        let mut memory: Option<SemaphorePermit<'_>> = None;
        let mut collected = BytesMut::new();
        let mut first = Bytes::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::Invalid("the body broke off".to_owned()))?;
            // Trailers carry nothing of an event.
            let Ok(data) = frame.into_data() else { continue };
            let length = first.len() + collected.len() + data.len();
            if length > limit {
                return Err(Refusal::TooLarge { limit });
            }
            let wanted = units(length) - memory.as_ref().map_or(0, SemaphorePermit::num_permits);
            let more = u32::try_from(wanted)
                .ok()
                .and_then(|wanted| self.inner.memory.try_acquire_many(wanted).ok())
                .ok_or_else(|| Refusal::Overloaded("too many events are being received".to_owned()))?;
            match &mut memory {
                Some(held) => held.merge(more),
                None => memory = Some(more),
            }
            // Most bodies arrive in one piece, which is then used as it is.
            if first.is_empty() && collected.is_empty() {
                first = data;
            } else {
                if collected.is_empty() {
                    collected.extend_from_slice(&std::mem::take(&mut first));
                }
                collected.extend_from_slice(&data);
            }
        }
        let bytes = if collected.is_empty() { first } else { collected.freeze() };
        Ok(Received { bytes, _memory: memory })
    }

    /// Reads and drops some of a body that nobody wants, without anybody waiting for it.
    pub(super) fn read_off(&self, headers: &HeaderMap, mut body: Body) {
        let waits_for_us = headers.contains_key(EXPECT);
        if waits_for_us || body.is_end_stream() || self.inner.leftovers.len() >= LEFTOVER_TASKS {
            return;
        }
        self.inner.leftovers.spawn(async move {
            let reading = async {
                let mut read = 0;
                while let Some(Ok(frame)) = body.frame().await {
                    read += frame.data_ref().map_or(0, Bytes::len);
                    if read > LEFTOVER_BYTES {
                        break;
                    }
                }
            };
            // Late or not, the connection is closed by dropping the body.
            drop(tokio::time::timeout(LEFTOVER_TIME, reading).await);
        });
    }
}
