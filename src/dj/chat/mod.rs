//! The chat: one prompt, answered by the model on one stream.

mod answer;
mod prompt;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::FutureExt;

use super::AppState;
use super::api::chat::ChatRequest;
use super::clients::anthropic::Client;
use super::config::Secret;
use super::run::{Ending, Output, UsageReport, Waits, Work};
use crate::core::ports::BoxFuture;
use answer::Progress;

/// A prompt being answered.
pub(crate) struct Chat {
    app: AppState,
    request: ChatRequest,
    api_key: Secret,
    progress: Progress,
}

impl Chat {
    /// The answer to `request`, by the model that `api_key` opens.
    pub(crate) fn new(app: &AppState, request: ChatRequest, api_key: Secret) -> Self {
        Self {
            app: app.clone(),
            request,
            api_key,
            progress: Progress::default(),
        }
    }
}

impl Work for Chat {
    fn work<'a>(&'a mut self, output: &'a Output, waits: &'a Arc<Waits>) -> BoxFuture<'a, Ending> {
        let client = Client::new(&self.app, self.api_key.clone(), Arc::clone(waits) as _);
        async move {
            let model = &self.app.config.anthropic.model;
            answer::relay(&client, model, &self.request, output, &mut self.progress).await
        }
        .boxed()
    }

    fn report(&self, report: &mut UsageReport) {
        let usage = self.progress.usage;
        report.input_tokens = usage.input_tokens.unwrap_or(0);
        report.output_tokens = usage.output_tokens.unwrap_or(0);
        report.cache_read_tokens = usage.cache_read_input_tokens.unwrap_or(0);
        report.cache_write_tokens = usage.cache_creation_input_tokens.unwrap_or(0);
        report.partial = !self.progress.complete;
    }
}
