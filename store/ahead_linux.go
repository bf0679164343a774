package store

import (
	"os"
	"reflect"
	"slices"
	"syscall"
	"unsafe"
)

// How far ahead is asked, and in pieces of which size: the kernel makes a larger one shorter.
const (
	aheadBytes = 4 << 20
	aheadPiece = 128 << 10
	aheadEach  = 16 // values: to ask where one lies costs memory
)

// ahead asks for the pages behind the one that is read, for those who walk through much of the file: bbolt tells the kernel not
// to, and then each page that is not in memory is waited for by itself. The zero value begins.
type ahead struct {
	from, to uintptr
	values   int
	there    [aheadBytes / 4096]byte // a page each, as mincore tells
}

// at tells that v, a value of a read transaction, is read.
func (a *ahead) at(v []byte) {
	if a.values++; a.values%aheadEach != 1 {
		return
	}
	p := reflect.ValueOf(v).Pointer()
	if p == 0 {
		return
	}
	if p < a.from || p >= a.to {
		a.from = p &^ uintptr(os.Getpagesize()-1)
		a.to = a.from
	}
	for ; a.to < p+aheadBytes/2; a.to += aheadBytes {
		a.ask()
	}
}

// ask asks for what is not in memory of the aheadBytes at a.to: to ask for what is there costs as much as to read it. It is
// advice: an error, as behind the end of the mapping, changes nothing.
func (a *ahead) ask() {
	page := uintptr(os.Getpagesize())
	there := a.there[:aheadBytes/page]
	_, _, missing := syscall.Syscall(syscall.SYS_MINCORE, a.to, aheadBytes, uintptr(unsafe.Pointer(&there[0])))
	for piece := range uintptr(aheadBytes / aheadPiece) {
		pages := there[piece*aheadPiece/page:][:aheadPiece/page]
		if missing != 0 || slices.ContainsFunc(pages, func(b byte) bool { return b&1 == 0 }) {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, a.to+piece*aheadPiece, aheadPiece, syscall.MADV_WILLNEED)
		}
	}
}
