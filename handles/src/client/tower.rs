//! The client as a service.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body as HttpBody;
use tower_service::Service;

use super::Client;
use super::body::Body;
use super::error::{BoxError, Error};

/// Always ready: requests wait in the pool, within its limits. What it gives wants the
/// same of its caller as [`Client::request`].
impl<B> Service<Request<B>> for Client
where
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client = self.clone();
        let request = request.map(Body::new);
        Box::pin(async move { client.request(request).await })
    }
}
