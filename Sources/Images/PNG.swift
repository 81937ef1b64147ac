import CScorefieldPNG
import ScorefieldArrays

/// Pictures as `.png` files.
///
/// Values come as they are stored, as in Pillow and torchvision: no colour management, and an alpha channel is dropped,
/// not blended. Palettes and grey levels of fewer than 8 bits are expanded; 16 bits are rounded to 8.
public enum PNG {
  /// The picture in a file, `uint8` of shape `[height, width]` if it is grey and `[height, width, 3]` if it has colours.
  public static func read(_ path: String) throws(ArrayFileError) -> HostArray {
    try parse(Bytes(mapping: path), name: path)
  }

  /// The picture in the bytes of a file; errors call the file by the given name.
  public static func parse(_ bytes: Bytes, name: String) throws(ArrayFileError) -> HostArray {
    let essentials = try PNGChunks(of: bytes, name: name)
    var image = png_image()
    image.version = png_uint_32(PNG_IMAGE_VERSION)
    defer { png_image_free(&image) }

    return try essentials.bytes.withUnsafeBufferPointer { (file) throws(ArrayFileError) in
      guard png_image_begin_read_from_memory(&image, file.baseAddress, file.count) != 0 else {
        throw failure(image, name)
      }
      // Otherwise 16-bit files would be taken as linear light.
      image.flags |= png_uint_32(PNG_IMAGE_FLAG_16BIT_sRGB)
      let isColored = image.format & PNG_FORMAT_FLAG_COLOR != 0
      let hasAlpha = image.format & PNG_FORMAT_FLAG_ALPHA != 0
      let (stored, channels) = (isColored ? 3 : 1, (isColored ? 3 : 1) + (hasAlpha ? 1 : 0))
      image.format = (isColored ? PNG_FORMAT_FLAG_COLOR : 0) | (hasAlpha ? PNG_FORMAT_FLAG_ALPHA : 0)

      let (height, width) = (Int(image.height), Int(image.width))
      let pixels = try Bytes(count: height * width * channels) { (buffer) throws(ArrayFileError) in
        guard png_image_finish_read(&image, nil, buffer.baseAddress, 0, nil) != 0 else { throw failure(image, name) }
        if hasAlpha {
          for pixel in 1..<max(height * width, 1) {
            for channel in 0..<stored { buffer[pixel * stored + channel] = buffer[pixel * channels + channel] }
          }
        }
      }
      return HostArray(
        .uint8, shape: isColored ? [height, width, 3] : [height, width], bytes: pixels[0..<(height * width * stored)])
    }
  }

  /// Writes a `uint8` array of shape `[height, width]` (grey) or `[height, width, 3]` (colours), whole or not at all.
  public static func write(_ image: HostArray, to path: String) throws(ArrayFileError) {
    try AtomicFile.write([encode(image, name: path)], to: path)
  }

  /// The bytes of the file that `write` writes.
  public static func encode(_ picture: HostArray, name: String) throws(ArrayFileError) -> Bytes {
    let shape = picture.shape
    guard picture.elementType == .uint8, shape.count == 2 || shape.count == 3 && shape[2] == 3,
      (1...largestSide).contains(shape[0]), (1...largestSide).contains(shape[1])
    else {
      throw ArrayFileError(
        name, .cannotWrite,
        "a picture is uint8 [height, width] or [height, width, 3], not \(picture.elementType.rawValue) \(shape)",
        repair: "convert it first")
    }
    var image = png_image()
    image.version = png_uint_32(PNG_IMAGE_VERSION)
    (image.height, image.width) = (png_uint_32(shape[0]), png_uint_32(shape[1]))
    image.format = shape.count == 3 ? PNG_FORMAT_FLAG_COLOR : 0
    defer { png_image_free(&image) }

    // What cannot be compressed becomes longer, by an eighth at most; libpng's own bound is a macro.
    let raw = picture.byteCount + shape[0]
    var count = raw + raw / 7 + 1000
    let file = try Bytes(count: count) { (buffer) throws(ArrayFileError) in
      let isWritten = picture.withUnsafeBytes { pixels in
        png_image_write_to_memory(&image, buffer.baseAddress, &count, 0, pixels.baseAddress, 0, nil) != 0
      }
      guard isWritten else {
        throw ArrayFileError(
          name, .cannotWrite, "cannot be compressed (\(message(of: image)))", repair: "make it smaller")
      }
    }
    return file[0..<count]
  }

  /// libpng takes no longer sides.
  static let largestSide = 1_000_000

  private static func failure(_ image: png_image, _ name: String) -> ArrayFileError {
    ArrayFileError(
      name, .badData, "is a broken .png file (\(message(of: image)))", repair: "get the whole file again")
  }

  private static func message(of image: png_image) -> String {
    withUnsafeBytes(of: image.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}
