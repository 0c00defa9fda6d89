use privet::Privet;
use tower_layer::Layer;

use crate::service::{Protected, protect};

/// privet as a layer, for those who cannot [`protect`] the whole app.
///
/// **What is added after it is outside.** A route that is added to the router after `.layer(PrivetLayer::new(..))`, and
/// a layer that is added after it, set cookies that nobody judges and see addresses that nobody hides.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it is added to a router"]
pub struct PrivetLayer {
    privet: Privet,
}

impl PrivetLayer {
    /// The layer of an installation.
    pub fn new(privet: Privet) -> Self {
        Self { privet }
    }
}

impl<S> Layer<S> for PrivetLayer {
    type Service = Protected<S>;

    fn layer(&self, app: S) -> Self::Service {
        protect(app, &self.privet)
    }
}
