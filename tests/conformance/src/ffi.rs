//! What the crate `nftnl` has no safe function for: reading rules, and the expressions of xtables. Here, and only here,
//! libnftnl's C functions are called.

use std::ffi::{CStr, CString, c_char};
use std::ptr::NonNull;

use nftnl::Rule;
use nftnl::expr::Expression;
use nftnl::nftnl_sys as sys;
use nftnl::nftnl_sys::libc::nlmsghdr;

/// A rule that libnftnl read.
pub(crate) struct ReadRule(NonNull<sys::nftnl_rule>);

impl ReadRule {
    /// Reads a message of the type `NFT_MSG_NEWRULE`.
    pub(crate) fn parse(message: &[u8]) -> Self {
        let aligned = aligned(message);
        // SAFETY: allocates; the value is freed in `drop`.
        let rule = Self(NonNull::new(unsafe { sys::nftnl_rule_alloc() }).expect("memory"));
        // SAFETY: the pointer is to a whole message, aligned as its header has to be, whose length is in the header;
        // the rule was allocated by the library.
        let status = unsafe { sys::nftnl_rule_nlmsg_parse(aligned.as_ptr().cast::<nlmsghdr>(), rule.0.as_ptr()) };
        assert_eq!(status, 0, "libnftnl cannot read {message:02x?}");
        rule
    }

    /// The expressions, as `nft --debug=netlink` prints them.
    pub(crate) fn text(&self) -> Vec<String> {
        let mut buffer = vec![0_u8; 64 * 1024];
        // SAFETY: the library writes at most as many bytes as it is told that there are, the NUL included.
        let len = unsafe {
            sys::nftnl_rule_snprintf(buffer.as_mut_ptr().cast::<c_char>(), buffer.len(), self.0.as_ptr(), 0, 0)
        };
        assert!(usize::try_from(len).is_ok_and(|len| len < buffer.len()));
        let text = CStr::from_bytes_until_nul(&buffer).unwrap().to_str().unwrap();
        let parts = text.split('[').skip(1).map(|part| part.split(']').next().unwrap().trim().to_owned());
        parts.collect()
    }

    /// The parameters of the expressions of xtables, which [`ReadRule::text`] leaves out: name, revision, bytes.
    pub(crate) fn extensions(&self) -> Vec<(String, u32, Vec<u8>)> {
        let mut extensions = Vec::new();
        // SAFETY: the iterator is destroyed before the rule that it borrows from.
        let iterator = unsafe { sys::nftnl_expr_iter_create(self.0.as_ptr()) };
        // SAFETY: the iterator was created above.
        while let Some(expression) = NonNull::new(unsafe { sys::nftnl_expr_iter_next(iterator) }) {
            // The attributes of matches and targets have the same numbers.
            let (name, rev, info) = (sys::NFTNL_EXPR_MT_NAME, sys::NFTNL_EXPR_MT_REV, sys::NFTNL_EXPR_MT_INFO);
            if ["match", "target"].contains(&&*string(expression, sys::NFTNL_EXPR_NAME)) {
                let mut len = 0;
                // SAFETY: the expression is one of those that have this attribute, as its name says.
                let revision = unsafe { sys::nftnl_expr_get_u32(expression.as_ptr(), number(rev)) };
                // SAFETY: as above; the bytes belong to the rule and are copied before it is freed.
                let bytes = unsafe {
                    let bytes = sys::nftnl_expr_get(expression.as_ptr(), number(info), &raw mut len).cast::<u8>();
                    std::slice::from_raw_parts(bytes, usize::try_from(len).unwrap()).to_vec()
                };
                extensions.push((string(expression, name), revision, bytes));
            }
        }
        // SAFETY: it was created above and is not used again.
        unsafe { sys::nftnl_expr_iter_destroy(iterator) };
        extensions
    }

    /// The rule as libnftnl itself writes it, as a message of the kernel with a handle.
    pub(crate) fn write(&self, family: u16, handle: u64) -> Vec<u8> {
        const NEW_RULE: u16 = 6;
        let mut buffer = vec![0_u32; 64 * 1024 / 4];
        // SAFETY: the buffer is aligned, and larger than any one message: its attributes are at most 64 KiB.
        let len = unsafe {
            sys::nftnl_rule_set_u64(self.0.as_ptr(), number(sys::NFTNL_RULE_HANDLE), handle);
            let header = sys::nftnl_nlmsg_build_hdr(buffer.as_mut_ptr().cast::<c_char>(), NEW_RULE, family, 0, 0);
            sys::nftnl_rule_nlmsg_build_payload(header, self.0.as_ptr());
            (*header).nlmsg_len
        };
        let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes[..usize::try_from(len).unwrap()].to_vec()
    }
}

impl Drop for ReadRule {
    fn drop(&mut self) {
        // SAFETY: it was allocated by the library and is not used again.
        unsafe { sys::nftnl_rule_free(self.0.as_ptr()) };
    }
}

/// A set that libnftnl read, with its elements.
pub(crate) struct ReadSet(NonNull<sys::nftnl_set>);

impl ReadSet {
    /// Reads a message of the type `NFT_MSG_NEWSET`, and one of the type `NFT_MSG_NEWSETELEM`.
    pub(crate) fn parse(set: &[u8], elements: &[u8]) -> Self {
        let (set_message, elements_message) = (aligned(set), aligned(elements));
        // SAFETY: allocates; the value is freed in `drop`.
        let set = Self(NonNull::new(unsafe { sys::nftnl_set_alloc() }).expect("memory"));
        // SAFETY: the pointers are to whole messages, aligned as their headers have to be, whose lengths are in the
        // headers; the set was allocated by the library.
        let statuses = unsafe {
            [
                sys::nftnl_set_nlmsg_parse(set_message.as_ptr().cast::<nlmsghdr>(), set.0.as_ptr()),
                sys::nftnl_set_elems_nlmsg_parse(elements_message.as_ptr().cast::<nlmsghdr>(), set.0.as_ptr()),
            ]
        };
        assert_eq!(statuses, [0, 0], "libnftnl cannot read {set_message:02x?} or {elements_message:02x?}");
        set
    }

    /// Family, table, name, flags, and the elements, as `nft --debug=netlink` prints them.
    pub(crate) fn text(&self) -> String {
        let mut buffer = vec![0_u8; 64 * 1024];
        // SAFETY: the library writes at most as many bytes as it is told that there are, the NUL included.
        let len = unsafe {
            sys::nftnl_set_snprintf(buffer.as_mut_ptr().cast::<c_char>(), buffer.len(), self.0.as_ptr(), 0, 0)
        };
        assert!(usize::try_from(len).is_ok_and(|len| len < buffer.len()));
        let text = CStr::from_bytes_until_nul(&buffer).unwrap().to_str().unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The number that nft gives the type of the keys, and their length in bytes.
    pub(crate) fn key(&self) -> (u32, u32) {
        // SAFETY: the set was allocated by the library, and read from a message that has both.
        unsafe {
            (
                sys::nftnl_set_get_u32(self.0.as_ptr(), number(sys::NFTNL_SET_KEY_TYPE)),
                sys::nftnl_set_get_u32(self.0.as_ptr(), number(sys::NFTNL_SET_KEY_LEN)),
            )
        }
    }

    /// Set and elements as libnftnl itself writes them.
    pub(crate) fn write(&self, family: u16) -> [Vec<u8>; 2] {
        const NEW_SET: u16 = 9;
        const NEW_ELEMENTS: u16 = 12;
        [(NEW_SET, false), (NEW_ELEMENTS, true)].map(|(kind, is_elements)| {
            let mut buffer = vec![0_u32; 64 * 1024 / 4];
            // SAFETY: the buffer is aligned, and larger than a message with the few elements that a test has.
            let len = unsafe {
                let header = sys::nftnl_nlmsg_build_hdr(buffer.as_mut_ptr().cast::<c_char>(), kind, family, 0, 0);
                if is_elements {
                    sys::nftnl_set_elems_nlmsg_build_payload(header, self.0.as_ptr());
                } else {
                    sys::nftnl_set_nlmsg_build_payload(header, self.0.as_ptr());
                }
                (*header).nlmsg_len
            };
            let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_ne_bytes()).collect();
            bytes[..usize::try_from(len).unwrap()].to_vec()
        })
    }
}

impl Drop for ReadSet {
    fn drop(&mut self) {
        // SAFETY: it was allocated by the library and is not used again.
        unsafe { sys::nftnl_set_free(self.0.as_ptr()) };
    }
}

/// An expression of xtables to be added to a rule of the crate `nftnl`.
pub(crate) struct Xtables {
    /// `match` or `target`.
    pub(crate) kind: &'static CStr,
    pub(crate) name: &'static str,
    pub(crate) revision: u32,
    pub(crate) info: Vec<u8>,
}

impl Expression for Xtables {
    fn to_expr(&self, _rule: &Rule<'_>) -> NonNull<sys::nftnl_expr> {
        // The library keeps the pointer to the parameters, and frees it with `free` (`xtfree`): it has to come from C.
        let name = CString::new(self.name).unwrap();
        let len = self.info.len();
        // SAFETY: the name is copied; the parameters are copied into memory of malloc, which the library takes over.
        unsafe {
            let expression = NonNull::new(sys::nftnl_expr_alloc(self.kind.as_ptr())).expect("memory");
            let raw = expression.as_ptr();
            sys::nftnl_expr_set_str(raw, number(sys::NFTNL_EXPR_MT_NAME), name.as_ptr());
            sys::nftnl_expr_set_u32(raw, number(sys::NFTNL_EXPR_MT_REV), self.revision);
            let info = NonNull::new(sys::libc::malloc(len)).expect("memory").as_ptr();
            std::ptr::copy_nonoverlapping(self.info.as_ptr(), info.cast::<u8>(), len);
            sys::nftnl_expr_set(raw, number(sys::NFTNL_EXPR_MT_INFO), info, u32::try_from(len).unwrap());
            expression
        }
    }
}

fn string(expression: NonNull<sys::nftnl_expr>, attribute: u32) -> String {
    // SAFETY: both attributes that are asked for are texts that belong to the rule; they are copied at once.
    unsafe { CStr::from_ptr(sys::nftnl_expr_get_str(expression.as_ptr(), number(attribute))) }
        .to_str()
        .unwrap()
        .to_owned()
}

fn number(attribute: u32) -> u16 {
    u16::try_from(attribute).unwrap()
}

/// The bytes at an address that a header may have.
fn aligned(bytes: &[u8]) -> Vec<u32> {
    let (words, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    words.iter().map(|word| u32::from_ne_bytes(*word)).collect()
}
