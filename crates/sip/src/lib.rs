//! SIP without IO: messages, transactions, dialogs, the INVITE usage and digest.
