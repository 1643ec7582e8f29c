//! Handing open files to the other end of a socket (unix(7), SCM_RIGHTS).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Sends one open file, with one byte, since nothing arrives without any.
pub(crate) fn send(socket: &UnixStream, file: BorrowedFd<'_>) -> io::Result<()> {
    let files = [file];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    message.push(SendAncillaryMessage::ScmRights(&files));
    sendmsg(socket, &[IoSlice::new(b"f")], &mut message, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one open file; none when the other end has closed without sending one.
pub(crate) fn receive(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    loop {
        let mut content = [IoSliceMut::new(&mut byte)];
        match recvmsg(socket, &mut content, &mut message, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        break;
    }
    let mut files = message.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    Ok(files.next())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_file_arrives_or_none() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        send(&theirs, reader.as_fd()).unwrap();
        drop((reader, theirs));
        let mut reader = std::fs::File::from(receive(&ours).unwrap().unwrap());
        writer.write_all(b"x").unwrap();
        let mut read = [0];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(read, *b"x");
        assert!(receive(&ours).unwrap().is_none());
    }
}
