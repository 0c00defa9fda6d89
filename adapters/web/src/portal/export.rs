//! Contacts and conversations on their way out, streamed.
