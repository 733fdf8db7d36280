//go:build race

package main

// underRace: everything takes about ten times as long.
const underRace = true
