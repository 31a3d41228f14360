//! The calls of the public API, a file per service.

mod access;
mod audit;
mod cluster;
mod custody;
mod keys;
mod message;
mod uses;

pub use audit::AuditTail;
pub(crate) use message::Message;
pub(crate) use uses::Use;
pub use uses::{DataKey, DataKeyPair, Decrypted, SharedSecret};

/// Writes a method for each unary call of one service.
macro_rules! unary {
    ($stub:ty: $(
        $(#[$doc:meta])* $method:ident = $rpc:ident($request:ident) -> $answer:ident;
    )+) => {
        impl $crate::Client {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`ClientError::Call`](crate::ClientError::Call) if the cluster refuses, or no
                /// node answers in time.
                pub async fn $method(
                    &self,
                    request: $crate::v1::$request,
                ) -> Result<$crate::v1::$answer, $crate::ClientError> {
                    let invoke = |channel, request| async move {
                        $crate::calls::limited!($stub, channel).$rpc(request).await
                    };
                    self.call(request, invoke).await
                }
            )+
        }
    };
}

/// A stub with our limits on its messages.
macro_rules! limited {
    ($stub:ty, $channel:expr) => {
        <$stub>::new($channel)
            .max_decoding_message_size($crate::limits::MESSAGE_BYTES_MAX)
            .max_encoding_message_size($crate::limits::MESSAGE_BYTES_MAX)
    };
}

pub(crate) use {limited, unary};
