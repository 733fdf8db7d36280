// Package admin serves the pages that marketers and analysts look at: campaigns with their figures
// as pictures, who was left out and why, segments with their reports.
//
// Guarantees: pages only read; every rate is shown with its base; nothing is fetched from anywhere
// else, and the content security policy forbids it; a caught mail (demo only) is shown in a frame
// that can run nothing, load nothing from others and navigate nowhere.
package admin
