//! Errors that pass on those of lower floors.

/// Declares an error of a command or a stage: each variant wraps an error with a code and passes on its text and code. The
/// variant `Invalid`, a [`Message`](super::Message) for anything else, is added.
macro_rules! wrapping_error {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $($(#[$doc:meta])* $variant:ident($inner:ty),)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, thiserror::Error)]
        $vis enum $name {
            $(
                $(#[$doc])*
                #[error(transparent)]
                $variant(#[from] $inner),
            )*
            /// Anything else, in words for the user.
            #[error(transparent)]
            Invalid(#[from] $crate::errors::Message),
        }

        impl $crate::errors::Coded for $name {
            fn code(&self) -> $crate::errors::Code {
                match self {
                    $(Self::$variant(error) => $crate::errors::Coded::code(error),)*
                    Self::Invalid(message) => message.code,
                }
            }
        }
    };
}
pub(crate) use wrapping_error;

#[cfg(test)]
mod tests {
    use crate::errors::{Code, Coded, Message};
    use crate::formats::star::StarError;

    wrapping_error! {
        /// Error of an example.
        enum Example {
            /// A table.
            Star(StarError),
        }
    }

    #[test]
    fn text_and_code_are_those_of_the_inner_error() {
        let star = || StarError {
            code: Code::RUN_FILES_DIFFER,
            path: "a.star".to_owned(),
            message: "cut short".to_owned(),
        };
        let error = Example::from(star());
        assert_eq!(error.code(), star().code());
        assert_eq!(error.to_string(), star().to_string());
        let message: Message = Code::NO_PARTICLES.says("the table is empty");
        let error = Example::from(message.clone());
        assert_eq!(error.code(), Code::NO_PARTICLES);
        assert_eq!(error.to_string(), message.to_string());
    }
}
