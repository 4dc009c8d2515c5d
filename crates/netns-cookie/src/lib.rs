//! The cookie of a network namespace (`SO_NETNS_COOKIE`, Linux 5.14).
//!
//! The inode number of a network namespace is given to another one after its end. The kernel counts the cookie up for each
//! namespace and never gives one out twice, until it boots again. Neither the standard library nor nix, rustix or socket2
//! read this socket option, so this is one of the two places with unsafe code, in a crate of its own so that the agent's
//! own lints can forbid any.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// The cookie of the network namespace in which this socket was made.
///
/// # Errors
///
/// That of `getsockopt(2)`: `ENOPROTOOPT` if the kernel is older than Linux 5.14.
pub fn netns_cookie(socket: impl AsFd) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut len = const { size_of::<u64>() as libc::socklen_t };
    let socket = socket.as_fd().as_raw_fd();
    #[expect(unsafe_code, reason = "no library reads this socket option in safe code")]
    // SAFETY: both pointers lead to values of this frame, the kernel writes no more bytes than the length says, and any eight
    // bytes are a number. The descriptor is borrowed, so it is open during the call.
    let result = unsafe {
        libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_NETNS_COOKIE, (&raw mut cookie).cast(), &raw mut len)
    };
    match result {
        0 => Ok(cookie),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn sockets_of_one_namespace_have_the_same_cookie_and_what_is_no_socket_has_none() {
        let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let cookie = netns_cookie(socket()).unwrap();
        assert!(cookie != 0 && netns_cookie(socket()).unwrap() == cookie);
        let error = netns_cookie(File::open("/dev/null").unwrap()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
    }
}
