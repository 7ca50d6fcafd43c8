//! HTTP requests and responses with streamed content both ways.

mod body;
mod request;
mod response;
mod server;

pub use body::{BodyReceiver, BodySender};
pub use request::RequestStream;
pub use response::{ResponseReceiver, ResponseSender};
pub use server::{CameEarly, ServerRequest};
