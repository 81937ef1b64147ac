/// What the first bytes of a `.png` file say about its picture.
package struct PNGHeader {
  package let height, width, channels: Int

  /// Nil where the bytes do not begin as a PNG does.
  package init?(of png: Bytes) {
    let header = png[0..<min(26, png.count)].withUnsafeBytes(Array.init)
    let signature: [UInt8] = [0x89] + "PNG\r\n".utf8 + [0x1A, 0x0A]
    // A palette holds colours.
    guard header.count == 26, header.starts(with: signature), header[12..<16].elementsEqual("IHDR".utf8),
      let channels = [0: 1, 2: 3, 3: 3, 4: 2, 6: 4][Int(header[25])]
    else { return nil }
    func integer(_ start: Int) -> Int { header[start..<(start + 4)].reduce(0) { $0 << 8 | Int($1) } }
    (self.height, self.width, self.channels) = (integer(20), integer(16), channels)
  }
}
