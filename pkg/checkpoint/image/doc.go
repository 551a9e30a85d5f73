// Package image keeps the images of containers on disk: it commits them in two phases, checks them before they are used, lists, packs and removes them, and
// takes them elsewhere as one archive. It refuses to know how an image is taken or restored, and to trust anything that it finds in one.
//
// An image is a directory NAME/ID, and is one by its record alone:
//
//	        Begin                Commit: hash, fsync, record, rename
//	none ----------> NAME/ID.partial ------------------------------> NAME/ID with reconciler.json
//	  ^                   | Abort, or a crash                              | Remove: the record first
//	  +-------------------+------------------------------------------------+
//
// What has no record, or is partial and has no writer, is swept away by the next Open. Images that are taken together are named in one file, SETS/set, from before the
// first of their renames until after the last: while it is there none of them is shown, and what an Open finds of it is undone.
//
// A set of descriptors, not of names: everything below the store's directory is opened beneath it, without following a link (openat2(2)).
package image
