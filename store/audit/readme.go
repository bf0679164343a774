package audit

// readme stands in every bundle.
const readme = `Siaga112: bundel catatan panggilan / bundle of call records
=============================================================

INDONESIA

Bundel ini membuktikan bahwa catatan di dalamnya sama dengan yang ditulis oleh gerbang 112: tidak ada yang diubah,
dihapus diam-diam, atau ditambahkan kemudian.

Dengan program (Windows atau Linux, tanpa jaringan, tanpa basis data):

    siaga112 cdr verify BUNDEL.zip --key KUNCI

KUNCI adalah satu baris yang dicetak oleh "siaga112 cdr key". Mintalah kunci itu lewat jalan lain daripada bundel ini,
dan hanya sekali: kunci tidak berubah. Dengan --checkpoint BERKAS Anda menguji juga tanda (checkpoint) lama yang disimpan
saksi: bila cocok, sejarah tidak ditulis ulang.

Dengan tangan:

 1. sha256sum records.jsonl calls.csv proof consistency checkpoint README.txt
    Hasilnya harus sama dengan "sha256" di manifest.json.
 2. sha256sum manifest.json
    Hasilnya harus sama dengan baris "sha256" di manifest.note, yang ditandatangani (Ed25519).
 3. Setiap baris records.jsonl adalah satu potong catatan. Leaf = SHA-256 dari 32 byte nonce, lalu isi "body" (UTF-8).
    Catatan yang dihapus atas perintah hanya punya leaf; alasannya tercatat sebagai "act" (erased, expired).
 4. Leaf semua potong dan hash di berkas "proof" membentuk pohon (RFC 6962) dengan akar di berkas "checkpoint".

ENGLISH

This bundle proves that the records in it are those that the 112 gateway wrote: none was changed, silently removed, or
added later.

With the program (Windows or Linux, without a network, without the database):

    siaga112 cdr verify BUNDLE.zip --key KEY

KEY is the line that "siaga112 cdr key" prints. Get it by another way than this bundle, and once: it does not change. With
--checkpoint FILE you also check an old checkpoint that a witness kept: if it fits, history was not rewritten.

By hand:

 1. sha256sum records.jsonl calls.csv proof consistency checkpoint README.txt
    gives what "sha256" says in manifest.json.
 2. sha256sum manifest.json
    gives the line "sha256" of manifest.note, which is signed (Ed25519).
 3. Each line of records.jsonl is one piece of a record. Its leaf is the SHA-256 of the 32 bytes of the nonce, then of
    "body" (UTF-8). A record that was erased on an order has only its leaf; why stands in an act (erased, expired).
 4. The leaves of all pieces and the hashes in "proof" make a tree (RFC 6962) whose root stands in "checkpoint".

Time in calls.csv is in the zone that manifest.json names. The whole format: docs/audit.md of the program.
`
