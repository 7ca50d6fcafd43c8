//! What is counted in each process: allocations, send calls and what is in them, and the
//! work itself. The counts are in a file that both processes have in their memory, so the
//! client reads the server's without asking it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use libc::{c_int, c_uint, c_void, mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t};

/// What there are counts of.
#[derive(Clone, Copy, Debug)]
pub enum Count {
    /// Bytes of streams that arrived.
    Bytes,
    /// Streams that arrived to their end.
    Streams,
    /// Datagrams that arrived.
    Datagrams,
    /// Answers, connections, sessions: what the client has got done.
    Done,
    /// System calls that sent something.
    Sends,
    /// UDP datagrams that they sent.
    Packets,
    /// UDP payload that they sent.
    Sent,
    /// System calls that received something.
    Receives,
    /// Allocations.
    Allocations,
    /// Reallocations.
    Reallocations,
    /// Bytes that were allocated.
    Allocated,
    /// Bytes that were freed.
    Freed,
}

pub const COUNTS: usize = 12;
pub type Page = [AtomicU64; COUNTS];

static OWN: Page = [const { AtomicU64::new(0) }; COUNTS];
static PAGE: AtomicPtr<Page> = AtomicPtr::new(std::ptr::null_mut());

fn page() -> &'static Page {
    let page = PAGE.load(Ordering::Relaxed);
    // SAFETY: it is null, or a mapping of that size which is never unmapped.
    unsafe { page.as_ref() }.unwrap_or(&OWN)
}

/// Counts.
pub fn add(count: Count, n: usize) {
    page()[count as usize].fetch_add(n as u64, Ordering::Relaxed);
}

/// The counts that a file holds.
pub fn map(file: &Path) -> io::Result<&'static Page> {
    let mut open = OpenOptions::new();
    let file = open
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(file)?;
    let size = size_of::<Page>();
    file.set_len(size as u64)?;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping of the file, which is as long.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size,
            prot,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as long, aligned to a page, all bits are valid, and it stays.
    Ok(unsafe { &*at.cast::<Page>() })
}

/// From here on this process counts into a file.
pub fn count_into(file: &Path) -> io::Result<()> {
    let page = map(file)?;
    for (to, from) in page.iter().zip(&OWN) {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    PAGE.store(std::ptr::from_ref(page).cast_mut(), Ordering::Relaxed);
    Ok(())
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(Count::Allocations, 1);
        add(Count::Allocated, layout.size());
        // SAFETY: the caller's promises are the ones asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        add(Count::Freed, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(Count::Allocations, 1);
        add(Count::Allocated, layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(Count::Reallocations, 1);
        add(Count::Allocated, size);
        add(Count::Freed, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

// ---- system calls ------------------------------------------------------------------
// The program's own functions go before those of libc, whoever calls them: quinn-udp,
// std and s2n-quic alike.

/// SAFETY: `msg` is one that the system has just taken.
unsafe fn sent(msg: &msghdr, bytes: usize) {
    let mut segment = 0;
    // SAFETY: the caller's promise.
    unsafe {
        let mut cmsg = libc::CMSG_FIRSTHDR(msg);
        while let Some(header) = cmsg.as_ref() {
            if (header.cmsg_level, header.cmsg_type) == (libc::SOL_UDP, libc::UDP_SEGMENT) {
                segment = usize::from(libc::CMSG_DATA(cmsg).cast::<u16>().read_unaligned());
            }
            cmsg = libc::CMSG_NXTHDR(msg, cmsg);
        }
    }
    note_sent(
        bytes,
        if segment > 0 {
            bytes.div_ceil(segment)
        } else {
            1
        },
    );
}

fn note_sent(bytes: usize, packets: usize) {
    add(Count::Sends, 1);
    add(Count::Packets, packets);
    add(Count::Sent, bytes);
}

fn note_received(result: ssize_t) -> ssize_t {
    if result > 0 {
        add(Count::Receives, 1);
    }
    result
}

/// SAFETY: as libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn sendmsg(fd: c_int, msg: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promises are the ones asked for.
    unsafe {
        let result = libc::syscall(libc::SYS_sendmsg, fd, msg, flags) as ssize_t;
        if let (Ok(bytes), Some(msg)) = (usize::try_from(result), msg.as_ref()) {
            sent(msg, bytes);
        }
        result
    }
}

/// SAFETY: as libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn sendmmsg(fd: c_int, msgs: *mut mmsghdr, n: c_uint, flags: c_int) -> c_int {
    // SAFETY: the caller's promises are the ones asked for.
    unsafe {
        let result = libc::syscall(libc::SYS_sendmmsg, fd, msgs, n, flags) as c_int;
        for at in 0..usize::try_from(result).unwrap_or(0) {
            let msg = &*msgs.add(at);
            sent(&msg.msg_hdr, msg.msg_len as usize);
        }
        // They are one call.
        if let Ok(more @ 2..) = usize::try_from(result) {
            page()[Count::Sends as usize].fetch_sub(more as u64 - 1, Ordering::Relaxed);
        }
        result
    }
}

/// SAFETY: as libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn sendto(
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
    to: *const sockaddr,
    tolen: socklen_t,
) -> ssize_t {
    // SAFETY: the caller's promises are the ones asked for.
    let result =
        unsafe { libc::syscall(libc::SYS_sendto, fd, buf, len, flags, to, tolen) as ssize_t };
    if let Ok(bytes) = usize::try_from(result) {
        note_sent(bytes, 1);
    }
    result
}

/// SAFETY: as libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn recvmsg(fd: c_int, msg: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promises are the ones asked for.
    note_received(unsafe { libc::syscall(libc::SYS_recvmsg, fd, msg, flags) as ssize_t })
}

/// SAFETY: as libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn recvmmsg(
    fd: c_int,
    msgs: *mut mmsghdr,
    n: c_uint,
    flags: c_int,
    wait: *mut libc::timespec,
) -> c_int {
    // SAFETY: the caller's promises are the ones asked for.
    let result = unsafe { libc::syscall(libc::SYS_recvmmsg, fd, msgs, n, flags, wait) as ssize_t };
    note_received(result) as c_int
}
