/** The microphone: what it delivers, as it is, in blocks. */
import recorderUrl from "../recorder.worklet.ts?worker&url";
import { PageError } from "../errors";

export interface Microphone {
  rate: number; // Hz
  stop: () => void;
}

/** Open the microphone, without the browser's processing: it would change the voice.
 *
 *  @throws PageError: there is none, or it may not be used. */
export async function openMicrophone(
  hear: (block: Float32Array) => void,
  begin: (rate: number) => Promise<void>,
): Promise<Microphone> {
  if (!navigator.mediaDevices?.getUserMedia)
    throw new PageError(
      "This page may not ask for a microphone.",
      "Open it on localhost (voxedge web --serve) or at an https address.",
    );
  const stream = await navigator.mediaDevices
    .getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    })
    .catch((error: DOMException) => {
      throw refused(error);
    });
  const context = new AudioContext();
  try {
    await context.audioWorklet.addModule(recorderUrl);
    const source = context.createMediaStreamSource(stream);
    const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
    await begin(context.sampleRate);
    recorder.port.onmessage = ({ data }) => hear(data);
    source.connect(recorder);
    await context.resume();
  } catch (error) {
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
    throw error;
  }
  return {
    rate: context.sampleRate,
    stop: () => {
      stream.getTracks().forEach((track) => track.stop());
      void context.close();
    },
  };
}

function refused(error: DOMException): PageError {
  if (error.name === "NotAllowedError")
    return new PageError(
      "The microphone may not be used.",
      "Allow it for this page in the browser's settings, then record again.",
    );
  if (error.name === "NotFoundError")
    return new PageError("No microphone was found.", "Connect one, then record again.");
  return new PageError(
    `The microphone cannot be opened: ${error.message || error.name}.`,
    "Close other programs that use it, then record again.",
  );
}
