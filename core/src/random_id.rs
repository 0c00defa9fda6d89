//! Names that are nothing but 128 bits of the operating system's randomness.

/// Makes such a type; what else it can do, and what `Debug` shows of it, is its own.
macro_rules! random_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        pub struct $name([u8; 16]);

        impl $name {
            pub(crate) fn generate() -> $crate::error::Result<Self> {
                $crate::key::random_bytes().map(Self)
            }

            /// The bytes, as a store keeps them.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// An id that a store kept.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }
    };
}

pub(crate) use random_id;
